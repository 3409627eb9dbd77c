/* SPDX-License-Identifier: GPL-2.0-only */
/* Files that io_uring opened and sockets that it connected, with no system call for each: told when it completes one. */
#ifndef HULLWATCH_IO_URING_H
#define HULLWATCH_IO_URING_H

#include "connections.h"
#include "opening.h"

/* include/uapi/linux/io_uring.h */
#define IORING_OP_CONNECT 16
#define IORING_OP_OPENAT 18
#define IORING_OP_OPENAT2 28

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct io_cqe {
	__s32 res;
};

struct io_rsrc_node {
	unsigned long file_ptr; /* io_uring/rsrc.h, from 6.13 on; its low bits are flags */
};

struct io_rsrc_data {
	__u32 nr;
	struct io_rsrc_node **nodes;
};

struct io_file_table {
	struct io_rsrc_data data;
};

struct io_ring_ctx {
	struct io_file_table file_table;
};

struct io_open { /* io_uring/openclose.c: where the request keeps what it was asked for */
	__u32 file_slot;
};

struct io_kiocb {
	struct file *file;
	struct io_ring_ctx *ctx;
	__u8 opcode;
	struct io_cqe cqe;
};

#pragma clang attribute pop

#define FILE_FLAGS 7UL /* io_uring/filetable.h: FFS_MASK is within these */
#define ANY_SLOT (~0U) /* IORING_FILE_INDEX_ALLOC: the result says which it was */

/* What a request has opened: a descriptor of the process, or a slot of io_uring's own table, which no descriptor shows. */
static __always_inline struct file *file_that_was_opened(struct task_struct *task, struct io_kiocb *request, __u32 result)
{
	struct io_open *asked = (void *)((unsigned long)request + bpf_core_field_offset(struct io_kiocb, file));
	struct io_rsrc_node *node = 0;
	if (!bpf_core_field_exists(asked->file_slot) || !bpf_core_field_exists(node->file_ptr))
		return file_of(task, result);
	__u32 slot = BPF_CORE_READ(asked, file_slot);
	if (!slot)
		return file_of(task, result);
	struct io_ring_ctx *ring = BPF_CORE_READ(request, ctx);
	__u32 index = slot == ANY_SLOT ? result : slot - 1;
	if (index >= BPF_CORE_READ(ring, file_table.data.nr))
		return 0;
	struct io_rsrc_node **nodes = BPF_CORE_READ(ring, file_table.data.nodes);
	bpf_probe_read_kernel(&node, sizeof(node), nodes + index);
	return node ? (struct file *)(BPF_CORE_READ(node, file_ptr) & ~FILE_FLAGS) : 0;
}

/* What follows the request is another thing on older kernels, and is not looked at. */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(on_io_uring, void *ring_of_process, struct io_kiocb *request)
{
	if (!request)
		return 0;
	__u32 opcode = BPF_CORE_READ(request, opcode);
	__s32 result = BPF_CORE_READ(request, cqe.res);
	if ((opcode != IORING_OP_CONNECT && opcode != IORING_OP_OPENAT && opcode != IORING_OP_OPENAT2) || result < 0)
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *known = find_task(task);
	__u32 tgid = task->tgid;
	if (!known) /* a thread of io_uring's own, which is made without a fork that is told */
		known = bpf_map_lookup_elem(&tasks, &tgid);
	if (!may_be_contained(task, known))
		return 0;
	if (opcode == IORING_OP_CONNECT)
		return connected(known, BPF_CORE_READ(request, file), pack(CAUSE_IO_URING, 0));
	struct file *file = file_that_was_opened(task, request, result);
	return file ? opened(known, file, pack(CAUSE_IO_URING, 0)) : 0;
}

#endif
