/* SPDX-License-Identifier: GPL-2.0-only */
/* Signals that a container task sends across its container's border, by whatever system call: where they are made. */
#ifndef HULLWATCH_SIGNALS_H
#define HULLWATCH_SIGNALS_H

#include "techniques.h"

#define FIRST_INFO 2 /* include/linux/sched/signal.h: 0 and 1 are no structures, and the kernel's own */

/* INT QUIT ILL TRAP ABRT BUS FPE KILL SEGV TERM STOP TSTP SYS; not HUP, USR1 and USR2, which mean "reload". */
#define FATAL_SIGNALS                                                                                                  \
	(1ULL << 2 | 1ULL << 3 | 1ULL << 4 | 1ULL << 5 | 1ULL << 6 | 1ULL << 7 | 1ULL << 8 | 1ULL << 9 | 1ULL << 11 |  \
	 1ULL << 15 | 1ULL << 19 | 1ULL << 20 | 1ULL << 31)

SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int signal, struct kernel_siginfo *info, struct task_struct *target, int is_group, int outcome)
{
	if (signal < 1 || signal > 31 || !(FATAL_SIGNALS >> signal & 1) || (unsigned long)info < FIRST_INFO)
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *known = find_task(task);
	if (!may_be_contained(task, known))
		return 0;
	if (BPF_CORE_READ(info, si_code) > 0) /* of the kernel, on a task's behalf */
		return 0;
	__u32 tgid = target->tgid;
	if (tgid == task->tgid || is_same_scope(known, tgid))
		return 0;
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_target(&room->act, tgid);
	room->act.signal = signal;
	tell_act(room, known, (room->act.target_start_ns + tgid) ^ ((__u64)signal << 56), pack(CAUSE_SIGNAL, 0));
	return 0;
}

#endif
