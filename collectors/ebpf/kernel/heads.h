/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several members of a kernel's structure in one read. A helper call for each of them is most of what looking at an open
 * file costs; those that are near the structure's start are copied at once. Where the running kernel has a member is known
 * when the program is loaded, so the verifier drops the branch that is not taken.
 */
#ifndef HULLWATCH_HEADS_H
#define HULLWATCH_HEADS_H

#include "kernel.h"

#define HEAD_BYTES 96

struct head {
	__u64 words[HEAD_BYTES / 8];
};

#define READ_HEAD(head, pointer) bpf_probe_read_kernel((head)->words, HEAD_BYTES, pointer)

#define FROM_HEAD(head, pointer, structure, member)                                                                    \
	(bpf_core_field_offset(structure, member) + sizeof(((structure *)0)->member) <= HEAD_BYTES ?                   \
		 *(typeof(((structure *)0)->member) *)((char *)(head)->words +                                         \
						       bpf_core_field_offset(structure, member)) :                     \
		 BPF_CORE_READ(pointer, member))

/* What is looked at of every file that a task of a container opens. */
struct open_file {
	struct inode *inode;
	struct super_block *file_system;
	__u64 number;
	__u32 mode; /* of the opening: FMODE_WRITE */
	__u32 kind; /* of the file, and its permissions */
};

/* Apart from who calls it, since the heads would take a fifth of the stack, of which Linux gives 512 bytes to all callers. */
static __noinline void look_at(struct open_file *to, struct file *file)
{
	struct head head;
	READ_HEAD(&head, file);
	struct inode *inode = FROM_HEAD(&head, file, struct file, f_inode);
	to->mode = FROM_HEAD(&head, file, struct file, f_mode);
	to->inode = inode;
	READ_HEAD(&head, inode);
	to->number = FROM_HEAD(&head, inode, struct inode, i_ino);
	to->kind = FROM_HEAD(&head, inode, struct inode, i_mode);
	to->file_system = FROM_HEAD(&head, inode, struct inode, i_sb);
}

#endif
