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

struct io_kiocb {
	struct file *file;
	__u8 opcode;
	struct io_cqe cqe;
};

#pragma clang attribute pop

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
	return opened(known, file_of(task, result), pack(CAUSE_IO_URING, 0));
}

#endif
