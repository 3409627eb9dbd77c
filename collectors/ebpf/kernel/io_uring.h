/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files that io_uring opened or gave capabilities, sockets that it made or connected, with no system call for each: told
 * when it completes one. What it renames, links and writes is seen where inodes change (changing.h).
 */
#ifndef HULLWATCH_IO_URING_H
#define HULLWATCH_IO_URING_H

#include "changing.h"
#include "connections.h"
#include "opening.h"

/* include/uapi/linux/io_uring.h */
#define IORING_OP_CONNECT 16
#define IORING_OP_OPENAT 18
#define IORING_OP_OPENAT2 28
#define IORING_OP_FSETXATTR 41
#define IORING_OP_SETXATTR 42
#define IORING_OP_SOCKET 45

#define MAX_ATTRIBUTES_ASKED 256

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

struct io_socket { /* io_uring/net.c */
	int domain;
	int type;
	int protocol;
	__u32 file_slot;
};

struct xattr_name {
	char name[256];
};

struct xattr_ctx {
	struct xattr_name *kname;
};

struct filename {
	const char *name;
};

struct io_xattr { /* io_uring/xattr.c: copies of what was asked for, which are freed before the request completes */
	struct xattr_ctx ctx;
	struct filename *filename;
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

/* Where a request keeps what it was asked for, each kind in its own way. */
static __always_inline void *asked_by(struct io_kiocb *request)
{
	return (void *)((unsigned long)request + bpf_core_field_offset(struct io_kiocb, file));
}

static __always_inline __u32 slot_to_open(struct io_kiocb *request)
{
	struct io_open *asked = asked_by(request);
	return bpf_core_field_exists(asked->file_slot) ? BPF_CORE_READ(asked, file_slot) : 0;
}

/* What a request has opened: a descriptor of the process, or a slot of io_uring's own table, which no descriptor shows. */
static __always_inline struct file *file_that_was_opened(struct task_struct *task, struct io_kiocb *request, __u32 slot,
							 __u32 result)
{
	struct io_rsrc_node *node = 0;
	if (!slot || !bpf_core_field_exists(node->file_ptr))
		return file_of(task, result);
	struct io_ring_ctx *ring = BPF_CORE_READ(request, ctx);
	__u32 index = slot == ANY_SLOT ? result : slot - 1;
	if (index >= BPF_CORE_READ(ring, file_table.data.nr))
		return 0;
	struct io_rsrc_node **nodes = BPF_CORE_READ(ring, file_table.data.nodes);
	bpf_probe_read_kernel(&node, sizeof(node), nodes + index);
	return node ? (struct file *)(BPF_CORE_READ(node, file_ptr) & ~FILE_FLAGS) : 0;
}

/* A request to give a file capabilities that has not completed yet, by its address: the path that it names, if it does. */
struct attribute_asked {
	__u32 path_size;
	char path[PATH_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_ATTRIBUTES_ASKED);
	__type(key, __u64);
	__type(value, struct attribute_asked);
} attributes_asked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct attribute_asked);
} attribute_rooms SEC(".maps");

/* The request has copied the name and the path, so nobody can write them any more. */
static __always_inline int asked_for(struct io_kiocb *request)
{
	char name[sizeof(CAPABILITY_ATTRIBUTE)] = {};
	struct io_xattr *asked = asked_by(request);
	__u32 opcode = BPF_CORE_READ(request, opcode), zero = 0;
	if ((opcode != IORING_OP_FSETXATTR && opcode != IORING_OP_SETXATTR) || !bpf_core_type_exists(struct io_xattr))
		return 0;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(asked, ctx.kname));
	struct attribute_asked *room = bpf_map_lookup_elem(&attribute_rooms, &zero);
	struct task_struct *task = bpf_get_current_task_btf();
	if (!room || !is_capability(name) || !may_be_contained(task, find_actor(task)))
		return 0;
	__u64 key = (unsigned long)request;
	long size = 0;
	if (opcode == IORING_OP_SETXATTR)
		size = bpf_probe_read_kernel_str(room->path, PATH_BYTES, BPF_CORE_READ(asked, filename, name));
	room->path_size = size > 0 && size <= PATH_BYTES ? size : 0;
	bpf_map_update_elem(&attributes_asked, &key, room, BPF_ANY);
	return 0;
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(on_io_uring_asked, struct io_kiocb *request)
{
	return asked_for(request);
}

/* The same to Linux 6.2 or so; before 6.0 the first argument is no request, and nothing is found. */
SEC("tp_btf/io_uring_submit_sqe")
int BPF_PROG(on_io_uring_asked_before, struct io_kiocb *request)
{
	return asked_for(request);
}

static __noinline int gave_capabilities(struct task_record *known, struct io_kiocb *request)
{
	__u64 key = (unsigned long)request;
	struct attribute_asked *asked = bpf_map_lookup_elem(&attributes_asked, &key);
	struct act_room *room = get_act_room();
	if (!asked || !room)
		return 0;
	if (asked->path_size) {
		room->act.path_size = asked->path_size;
		bpf_probe_read_kernel(room->act.path, PATH_BYTES, asked->path);
	} else {
		read_object(room, BPF_CORE_READ(request, file));
	}
	bpf_map_delete_elem(&attributes_asked, &key);
	room->act.how = HOW_CAPABILITIES;
	return tell_act(room, known, bpf_get_prandom_u32(), pack(CAUSE_IO_URING, 0));
}

static __noinline int made_a_socket_asked(struct task_record *known, struct io_kiocb *request, __u32 result)
{
	struct io_socket *asked = asked_by(request);
	struct act_room *room = get_act_room();
	if (!room || !bpf_core_type_exists(struct io_socket))
		return 0;
	room->act.arguments[0] = (__u32)BPF_CORE_READ(asked, domain);
	room->act.arguments[1] = (__u32)BPF_CORE_READ(asked, type);
	room->act.arguments[2] = (__u32)BPF_CORE_READ(asked, protocol);
	struct file *file =
		file_that_was_opened(bpf_get_current_task_btf(), request, BPF_CORE_READ(asked, file_slot), result);
	return made_a_socket(room, known, file, pack(CAUSE_IO_URING, 0));
}

static __always_inline int is_looked_at(__u32 opcode)
{
	return opcode == IORING_OP_CONNECT || opcode == IORING_OP_OPENAT || opcode == IORING_OP_OPENAT2 ||
	       opcode == IORING_OP_FSETXATTR || opcode == IORING_OP_SETXATTR || opcode == IORING_OP_SOCKET;
}

/* What follows the request is another thing on older kernels, and is not looked at. */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(on_io_uring, void *ring_of_process, struct io_kiocb *request)
{
	if (!request)
		return 0;
	__u32 opcode = BPF_CORE_READ(request, opcode);
	__s32 result = BPF_CORE_READ(request, cqe.res);
	if (!is_looked_at(opcode) || result < 0)
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *known = find_actor(task);
	if (!may_be_contained(task, known))
		return 0;
	if (opcode == IORING_OP_CONNECT)
		return connected(known, BPF_CORE_READ(request, file), pack(CAUSE_IO_URING, 0));
	if (opcode == IORING_OP_FSETXATTR || opcode == IORING_OP_SETXATTR)
		return gave_capabilities(known, request);
	if (opcode == IORING_OP_SOCKET)
		return made_a_socket_asked(known, request, result);
	struct file *file = file_that_was_opened(task, request, slot_to_open(request), result);
	return file ? opened(known, file, pack(CAUSE_IO_URING, 0)) : 0;
}

#endif
