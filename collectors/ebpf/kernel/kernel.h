/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's structures as far as hullwatch reads them. No vmlinux.h: each holds only the members that are used, and
 * libbpf moves every access to where the running kernel has the member (CO-RE). A name with three underscores is
 * another kernel's shape of the same structure; libbpf cuts the name there.
 */
#ifndef HULLWATCH_KERNEL_H
#define HULLWATCH_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

/* include/uapi/linux/bpf.h */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_F_NO_PREALLOC = 1 };

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define PF_EXITING 0x00000004 /* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define PFA_NO_NEW_PRIVS 0

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct list_head {
	struct list_head *next, *prev;
};

struct rb_node {
	struct rb_node *rb_right;
};

struct rb_root {
	struct rb_node *rb_node;
};

struct ns_common {
	unsigned int inum;
};

struct uts_namespace {
	struct ns_common ns;
};
struct ipc_namespace {
	struct ns_common ns;
};
struct mnt_namespace {
	struct ns_common ns;
	struct rb_root mounts; /* 6.8 and later: by an id that only grows */
};
struct mnt_namespace___old { /* to 6.7: the newest last */
	struct list_head list;
};
struct pid_namespace {
	struct ns_common ns;
};
struct net {
	struct ns_common ns;
};
struct time_namespace {
	struct ns_common ns;
};
struct cgroup_namespace {
	struct ns_common ns;
};
struct user_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct net *net_ns;
	struct time_namespace *time_ns;
	struct cgroup_namespace *cgroup_ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	unsigned long long val;
} kernel_cap_t;

struct cred {
	kuid_t uid; /* eight ids follow one another: uid gid suid sgid euid egid fsuid fsgid */
	kernel_cap_t cap_inheritable; /* five sets follow one another: inheritable permitted effective bset ambient */
	struct user_namespace *user_ns;
};

struct qstr {
	const unsigned char *name;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	unsigned int s_dev;
	unsigned long s_magic;
	struct file_system_type *s_type;
	const char *s_subtype;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct inode {
	unsigned short i_mode;
	kuid_t i_uid;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_rdev;
	unsigned int i_nlink;
	unsigned int i_generation;
	void *i_private;
	struct hlist_head i_dentry; /* the names of it that are in memory */
	long long i_ctime_sec; /* 6.11 and later */
	unsigned int i_ctime_nsec;
};

struct timespec64 {
	long long tv_sec;
	long tv_nsec;
};

struct inode___6_6 { /* to 6.10 */
	struct timespec64 __i_ctime;
};

struct inode___old { /* to 6.5 */
	struct timespec64 i_ctime;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	union {
		struct hlist_node d_alias; /* in its inode's list */
	} d_u;
};

struct proc_inode {
	struct pid *pid;
	struct inode vfs_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
	int mnt_flags;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
	int mnt_id;
	int mnt_group_id;
	const char *mnt_devname;
	struct mount *mnt_master; /* from whose peers it receives */
	struct list_head mnt_list; /* to 6.7: in its namespace */
	struct rb_node mnt_node; /* since */
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	unsigned int f_mode;
	void *private_data;
	struct path f_path;
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct mm_struct {
	unsigned long start_code;
	unsigned long end_code;
	unsigned long start_stack;
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

struct kernfs_node {
	unsigned long long id;
	const char *name;
	struct kernfs_node *__parent; /* 6.15 and later */
};

struct kernfs_node___old { /* to 6.14 */
	struct kernfs_node *parent;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgrp_cset_link {
	struct cgroup *cgrp;
	struct list_head cgrp_link;
};

#define MAX_CONTROLLERS 16 /* 12 to 14 in the kernels so far */
struct css_set {
	void *subsys[MAX_CONTROLLERS];
	struct cgroup *dfl_cgrp;
	struct list_head cgrp_links;
};

struct seccomp {
	int mode;
	atomic_t filter_count;
};

struct tty_driver {
	int major;
	int minor_start;
};

struct tty_struct {
	struct tty_driver *driver;
	int index;
};

struct signal_struct {
	atomic_t live;
	struct tty_struct *tty;
};

struct sched_entity {
	unsigned long long sum_exec_runtime;
};

struct task_struct {
	unsigned int flags;
	struct sched_entity se;
	struct mm_struct *mm;
	unsigned long atomic_flags;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	__u32 self_exec_id; /* how often it has run a program; 64 bits since 5.7, of which these are the lower */
	struct task_struct *group_leader;
	struct pid *thread_pid;
	unsigned long long start_boottime;
	const struct cred *real_cred;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct list_head ptraced;
	struct list_head ptrace_entry;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct seccomp seccomp;
	struct css_set *cgroups;
};

struct linux_binprm;

/* When a system call returns, its arguments are still in the registers, which no other thread can write. */
struct pt_regs___x86 {
	unsigned long r10;
	unsigned long r8;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long cx;
	unsigned long bx;
	unsigned long orig_ax;
};

struct thread_info___x86 {
	__u32 status;
};

struct task_struct___x86 {
	struct thread_info___x86 thread_info;
};

struct pt_regs___on_arm64 {
	__u64 regs[31];
	__u64 orig_x0; /* the result is in regs[0] */
	int syscallno;
};

struct kernel_siginfo {
	int si_code;
};

/* kernel/trace/trace.h: what a syscall's exit tracepoint shows */
struct trace_event_raw_sys_exit {
	long id;
	long ret;
};

/* include/uapi/linux/bpf.h, kernel/bpf/task_iter.c */
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
