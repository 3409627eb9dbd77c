/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls of container tasks that only make sense on the way out, told when they return: with what the kernel now
 * holds of their object, else with the arguments that are still in the registers. Nothing is read from user memory that
 * decides anything. Each process tells the same act once, so that a loop does not fill the ring.
 */
#ifndef HULLWATCH_TECHNIQUES_H
#define HULLWATCH_TECHNIQUES_H

#include "heads.h"
#include "processes.h"

#define MAX_ACTS_TOLD 8192
#define S_IFMT 0170000 /* include/uapi/linux/stat.h */
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define PIDFS_MAGIC 0x50494446UL /* include/uapi/linux/magic.h: "PIDF" */

/* As `enum call_class`, which ends below. */
enum act_class {
	CALL_ACTS = 16, /* tell when it succeeds */
	CALL_ATTEMPTS = 17, /* tell whatever came of it */
	CALL_TRACES = 18,
	CALL_WRITES_MEMORY = 19,
	CALL_GETS_DESCRIPTOR = 20,
	CALL_MAKES_NODE = 21, /* mknod: mode and device are arguments 1 and 2 */
	CALL_MAKES_NODE_AT = 22, /* mknodat: 2 and 3 */
	CALL_MAKES_SOCKET = 23,
	CALL_OPENS_HANDLE = 24,
	CALL_MAKES_FILE = 25, /* memfd_create: one that no directory names */
	CALL_OPENS = 32, /* from here on acts on files: opening.h, changing.h */
	CALL_CHANGES_MODE = 33,
	CALL_CHANGES_MODE_OF = 34, /* an open file */
	CALL_CHANGES_MODE_AT = 35,
	CALL_SETS_ATTRIBUTE = 36,
	CALL_SETS_ATTRIBUTE_OF = 37,
	CALL_SETS_ATTRIBUTE_AT = 38,
	CALL_CONNECTS = 48, /* connections.h */
};

enum how {
	HOW_READ = 1,
	HOW_WRITTEN = 2, /* opened for writing */
	HOW_ENTRY = 3, /* opened for writing, in a watched directory */
	HOW_CHANGED = 4, /* the object itself: content, name, mode, or a directory's entries */
	HOW_KERNEL = 5, /* opened for writing, and a file that is the kernel's own */
	HOW_MEMORY = 6, /* of another process */
	HOW_ENVIRON = 7,
	HOW_HOST_MOUNT = 8, /* opened for writing, through a mount of the host's own mount namespace */
	HOW_MODE = 9, /* made set-uid or set-gid */
	HOW_CAPABILITIES = 10, /* given file capabilities */
	HOW_CONNECTED = 11, /* to a process, or to an address */
	HOW_DEVICE = 12, /* opened: a disk, or a character device that may lead into the kernel */
	HOW_NAMESPACE = 13, /* opened: a namespace that is not the task's own */
	HOW_MOUNTED = 14, /* made: a mount of the task's own namespace */
	HOW_DETACHED = 15, /* made: a mount of no namespace, which a descriptor leads to */
	HOW_SOCKET = 16, /* made: a raw one */
};

/* What the act was done to, as far as the kernel holds it; all of it 0 where it does not. */
struct act {
	__u64 arguments[4];
	__u64 inode;
	__u64 file_system; /* its magic number */
	__u64 target_start_ns;
	__u32 device;
	__u32 mode;
	__u32 target_tgid;
	__u32 target_session; /* 0 is a process of the host, or one that nobody knows */
	__u32 signal;
	__u32 how;
	__u32 watched; /* which of the watched objects */
	__u32 path_size;
	char path[PATH_BYTES]; /* as in `struct record` */
};

/* A mount, behind the act by which it was made. The act has its root's inode and device, and where it is mounted. */
struct mounted {
	__u32 id;
	__u32 parent_id;
	__u32 flags; /* MNT_READONLY */
	__u32 group; /* of peers; 0 is none */
	__u32 master_group; /* from which it receives */
	__u32 root_size;
	char type[32];
	char subtype[32];
	char source[NAME_BYTES];
	char root[PATH_BYTES]; /* in its file system; as the path of an act */
};

struct act_room {
	struct record record;
	struct act act; /* at a fixed place: its record's path is not cut */
	struct mounted mounted; /* told where `how` of the act says so */
	char spill[NAME_BYTES];
	struct vector vector;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct act_room);
} act_rooms SEC(".maps");

struct act_key {
	__u64 start_ns;
	__u64 object;
	__u32 tgid;
	__s32 what; /* the call, and whether it was refused */
	__u64 image; /* the program that it runs: a runtime's own process becomes the container's */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_ACTS_TOLD);
	__type(key, struct act_key);
	__type(value, __u32);
} acts_told SEC(".maps");

/* System calls of a 32-bit program: their number, and this kernel's own number plus one for the same call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CALLS);
	__type(key, __u32);
	__type(value, __u32);
} foreign_calls SEC(".maps");

#define TS_COMPAT 2 /* arch/x86/include/asm/thread_info.h: the call that runs is one of 32 bits */

static __always_inline int is_foreign_call(struct task_struct *task)
{
	struct task_struct___x86 *x86 = (void *)task;
	if (bpf_core_field_exists(x86->thread_info.status))
		return x86->thread_info.status & TS_COMPAT; /* a plain load: it is asked at every call */
	return 0;
}

static __always_inline struct act_room *get_act_room(void)
{
	__u32 zero = 0;
	struct act_room *room = bpf_map_lookup_elem(&act_rooms, &zero);
	if (room)
		__builtin_memset(&room->act, 0, __builtin_offsetof(struct act, path));
	return room;
}

static __noinline void read_arguments_of_call(struct act *act, struct task_struct *task)
{
	struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(task);
	struct pt_regs___x86 *x86 = (void *)registers;
	struct pt_regs___on_arm64 *arm64 = (void *)registers;

	if (bpf_core_field_exists(x86->orig_ax)) {
		int is_32_bits = is_foreign_call(task);
		act->arguments[0] = is_32_bits ? BPF_CORE_READ(x86, bx) : BPF_CORE_READ(x86, di);
		act->arguments[1] = is_32_bits ? BPF_CORE_READ(x86, cx) : BPF_CORE_READ(x86, si);
		act->arguments[2] = BPF_CORE_READ(x86, dx);
		act->arguments[3] = is_32_bits ? BPF_CORE_READ(x86, si) : BPF_CORE_READ(x86, r10);
	} else if (bpf_core_field_exists(arm64->syscallno)) {
		act->arguments[0] = BPF_CORE_READ(arm64, orig_x0);
		act->arguments[1] = BPF_CORE_READ(arm64, regs[1]);
		act->arguments[2] = BPF_CORE_READ(arm64, regs[2]);
		act->arguments[3] = BPF_CORE_READ(arm64, regs[3]);
	}
}

/* An open file of the task that runs now. */
static __always_inline struct file *file_of(struct task_struct *task, __u32 number)
{
	struct files_struct *files = task->files;
	struct file *file = 0;
	if (files && number < files->fdt->max_fds)
		bpf_probe_read_kernel(&file, sizeof(file), files->fdt->fd + number);
	return file;
}

static __noinline void read_object(struct act_room *room, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	room->act.inode = BPF_CORE_READ(inode, i_ino);
	room->act.device = BPF_CORE_READ(inode, i_sb, s_dev);
	room->act.mode = BPF_CORE_READ(inode, i_mode);
	room->act.file_system = BPF_CORE_READ(inode, i_sb, s_magic);
	__u32 size = read_path(&room->record, file);
	if (size > PATH_BYTES)
		size = PATH_BYTES;
	room->act.path_size = size;
	bpf_probe_read_kernel(room->act.path, PATH_BYTES, room->record.path);
}

static __always_inline void read_target(struct act *act, __u32 tgid)
{
	struct task_record *known = bpf_map_lookup_elem(&tasks, &tgid);
	act->target_tgid = tgid;
	if (known) {
		act->target_start_ns = known->start_ns;
		act->target_session = known->session;
	}
}

static __always_inline int is_same_scope(struct task_record *known, __u32 tgid)
{
	struct task_record *other = bpf_map_lookup_elem(&tasks, &tgid);
	return other && other->session && other->scope == known->scope;
}

/*
 * Whose acts are told: a task of a container, or one that nobody has judged where it is now. Of those user space knows
 * by the time that it reads the record: it has read that of their exec before. A move to another cgroup has taken the
 * judgement back already (on_cgroup_move), so the mount namespace is left to compare.
 */
static __always_inline int may_be_contained(struct task_struct *task, struct task_record *known)
{
	if (!known || known->session)
		return known != 0;
	struct nsproxy *proxy = task->nsproxy;
	return !known->is_judged || (proxy && known->judged_mnt != proxy->mnt_ns->ns.inum);
}

/* Send what is in the room, unless this process has told the same before. */
static __noinline int tell_act(struct act_room *room, struct task_record *known, __u64 object, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct record *record = &room->record;
	__s32 result = call_and_result;
	struct act_key key = {
		.start_ns = BPF_CORE_READ(task, group_leader, start_boottime),
		.object = object,
		.tgid = task->tgid,
		.what = (__s32)(call_and_result >> 32) * 2 + (result < 0),
		.image = task->self_exec_id,
	};
	__u32 one = 1;
	if (bpf_map_lookup_elem(&acts_told, &key))
		return 0;
	bpf_map_update_elem(&acts_told, &key, &one, BPF_ANY);
	count(COUNTER_NOTABLE_ACTS);
	read_vector(&room->vector, task);
	fill(record, task, known, KIND_ACT);
	read_cgroups(record, task);
	read_path_of_program(record, task);
	record->vector = room->vector;
	if (is_candidate(known, &room->vector))
		record->header.flags |= FLAG_CANDIDATE;
	record->header.call = (__s32)(call_and_result >> 32);
	record->header.result = result;
	read_arguments(record, task);
	known->is_told = 1;
	__u64 size = sizeof(struct record) + sizeof(struct act);
	if (room->act.how == HOW_MOUNTED || room->act.how == HOW_DETACHED)
		size += sizeof(struct mounted);
	send(record, size);
	return 1;
}

/* The one that was attached to last is the first of the tracer's list (ptrace_link, kernel/ptrace.c). */
static __always_inline __u32 traced_by(struct task_struct *task)
{
	unsigned long head = (unsigned long)task + bpf_core_field_offset(struct task_struct, ptraced);
	unsigned long first = (unsigned long)BPF_CORE_READ(task, ptraced.next);
	if (!first || first == head)
		return 0;
	struct task_struct *traced = (void *)(first - bpf_core_field_offset(struct task_struct, ptrace_entry));
	return BPF_CORE_READ(traced, tgid);
}

static __always_inline __u32 process_of_pidfd(struct task_struct *task, __u32 number)
{
	struct file *file = file_of(task, number);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct pid *pid = BPF_CORE_READ(file, private_data); /* to 6.8 */
	if (BPF_CORE_READ(inode, i_sb, s_magic) == PIDFS_MAGIC)
		pid = BPF_CORE_READ(inode, i_private);
	return BPF_CORE_READ(pid, numbers[0].nr);
}

/*
 * A process number in an argument is the host's only for a task of the host's pid namespace. Another's leads to nobody
 * outside of it: what can be named from there lives in that namespace or below.
 */
static __always_inline __u32 process_of_number(struct task_struct *task, __u32 number)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	return BPF_CORE_READ(pid, level) ? 0 : number;
}

#define PTRACE_ATTACH 16
#define PTRACE_SEIZE 0x4206

static __noinline int reached_a_process(struct act_room *room, struct task_record *known, __u32 class,
					__u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__s32 result = call_and_result;
	__u32 tgid = 0;

	if (class == CALL_TRACES) {
		if (room->act.arguments[0] != PTRACE_ATTACH && room->act.arguments[0] != PTRACE_SEIZE)
			return 0;
		tgid = result ? process_of_number(task, room->act.arguments[1]) : traced_by(task);
	} else if (class == CALL_WRITES_MEMORY) {
		tgid = process_of_number(task, room->act.arguments[0]);
	} else {
		tgid = process_of_pidfd(task, room->act.arguments[0]);
	}
	if (!tgid || is_same_scope(known, tgid))
		return 0;
	read_target(&room->act, tgid);
	return tell_act(room, known, room->act.target_start_ns + tgid, call_and_result);
}

#define AF_INET 2
#define AF_INET6 10
#define AF_PACKET 17
#define SOCK_TYPE_MASK 0xf
#define SOCK_RAW 3

static __noinline int made_a_node(struct act_room *room, struct task_record *known, __u32 class, __u64 call_and_result)
{
	int is_at = class == CALL_MAKES_NODE_AT;
	__u64 mode = is_at ? room->act.arguments[2] : room->act.arguments[1];
	__u64 device = is_at ? room->act.arguments[3] : room->act.arguments[2];
	if (((mode & S_IFMT) != S_IFBLK && (mode & S_IFMT) != S_IFCHR) || !device)
		return 0;
	room->act.mode = mode;
	room->act.device = device; /* as user space encodes it */
	return tell_act(room, known, device << 16 | (mode & S_IFMT), call_and_result);
}

/* The room's arguments are family, type and protocol. */
static __noinline int made_a_socket(struct act_room *room, struct task_record *known, struct file *file,
				    __u64 call_and_result)
{
	__u64 family = room->act.arguments[0], type = room->act.arguments[1] & SOCK_TYPE_MASK;
	if (family != AF_PACKET && !((family == AF_INET || family == AF_INET6) && type == SOCK_RAW))
		return 0;
	room->act.inode = BPF_CORE_READ(file, f_inode, i_ino);
	room->act.how = HOW_SOCKET;
	return tell_act(room, known, family << 32 | room->act.arguments[2], call_and_result);
}

/* A call of `enum act_class` by a task of a container has returned. */
static __noinline int acted(struct task_record *known, __u32 class, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__s32 result = call_and_result;
	if (class == CALL_ACTS && result < 0)
		return 0;
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_arguments_of_call(&room->act, task);
	switch (class) {
	case CALL_TRACES:
	case CALL_WRITES_MEMORY:
	case CALL_GETS_DESCRIPTOR:
		return reached_a_process(room, known, class, call_and_result);
	case CALL_MAKES_NODE:
	case CALL_MAKES_NODE_AT:
		return made_a_node(room, known, class, call_and_result);
	case CALL_MAKES_SOCKET:
		return result < 0 ? 0 : made_a_socket(room, known, file_of(task, result), call_and_result);
	case CALL_MAKES_FILE:
		if (result < 0)
			return 0;
		read_object(room, file_of(task, result));
		return tell_act(room, known, 0, call_and_result);
	case CALL_OPENS_HANDLE:
		if (result >= 0)
			read_object(room, file_of(task, result));
		return tell_act(room, known, room->act.device, call_and_result);
	}
	return tell_act(room, known, room->act.arguments[0], call_and_result);
}

/* A task of a container calls as a 32-bit program does, with other numbers: told, once for each process. */
static __noinline int called_as_foreign(__u32 number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *known = find_task(task);
	struct act_room *room = get_act_room();
	if (room && may_be_contained(task, known)) {
		room->act.arguments[0] = number;
		tell_act(room, known, 0, pack(CAUSE_FOREIGN_CALL, 0));
	}
	return 0;
}

#endif
