/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections that a task of a container makes: over unix sockets to a process outside its container, known by who listens
 * there, and over TCP to watched addresses and ports, known by what the socket is then connected to.
 */
#ifndef HULLWATCH_CONNECTIONS_H
#define HULLWATCH_CONNECTIONS_H

#include "watched.h"

#define MAX_ENDPOINTS 256
#define AF_UNIX 1
#define TCP_SYN_SENT 2 /* include/net/tcp_states.h */
#define IPPROTO_TCP 6

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	__u8 bytes[16];
};

struct sock_common {
	__be32 skc_daddr;
	__be16 skc_dport;
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
};

struct socket;

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	struct pid *sk_peer_pid;
	unsigned short sk_protocol;
};

struct socket {
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

#pragma clang attribute pop

/* An address (IPv4 as ::ffff:a.b.c.d), or a port alone. */
struct endpoint {
	__u64 halves[2];
	__u32 port;
	__u32 _unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, struct endpoint);
	__type(value, __u32);
} endpoints SEC(".maps");

static __always_inline __u64 inode_of_socket(struct socket *socket)
{
	struct socket_alloc *both = (void *)((unsigned long)socket - bpf_core_field_offset(struct socket_alloc, socket));
	return socket ? BPF_CORE_READ(both, vfs_inode.i_ino) : 0;
}

/* The socket's far end is set, and the first packet is about to leave. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, struct sock *socket, int before, int after)
{
	if (after != TCP_SYN_SENT)
		return 0;
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_record *known = find_actor(task);
	if (!may_be_contained(task, known) || socket->sk_protocol != IPPROTO_TCP)
		return 0;
	struct endpoint place = {}, port = {};
	__u32 family = socket->__sk_common.skc_family;
	if (family == AF_INET) {
		place.halves[1] = (__u64)socket->__sk_common.skc_daddr << 32 | 0xffff0000U;
	} else {
		bpf_core_read(place.halves, sizeof(place.halves), &socket->__sk_common.skc_v6_daddr);
	}
	port.port = bpf_ntohs(socket->__sk_common.skc_dport);
	if (!bpf_map_lookup_elem(&endpoints, &place) && !bpf_map_lookup_elem(&endpoints, &port))
		return 0;
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	room->act.arguments[0] = place.halves[0];
	room->act.arguments[1] = place.halves[1];
	room->act.arguments[2] = port.port;
	room->act.inode = inode_of_socket(BPF_CORE_READ(socket, sk_socket));
	room->act.how = HOW_CONNECTED;
	tell_act(room, known, place.halves[1] ^ (__u64)port.port << 16, pack(CAUSE_CONNECTION, 0));
	return 0;
}

/* A unix socket is connected: the kernel has noted who called listen(2) at the far end, and under which name. */
static __noinline int connected(struct task_record *known, struct file *file, __u64 call_and_result)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sock = BPF_CORE_READ(socket, sk);
	if (BPF_CORE_READ(sock, __sk_common.skc_family) != AF_UNIX)
		return 0;
	struct sock *peer = BPF_CORE_READ((struct unix_sock *)sock, peer);
	struct pid *pid = BPF_CORE_READ(sock, sk_peer_pid);
	__u32 tgid = BPF_CORE_READ(pid, numbers[0].nr);
	if (!peer || !pid || !tgid || is_same_scope(known, tgid))
		return 0;
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)peer, addr);
	__u32 size = BPF_CORE_READ(address, len) - sizeof(short);
	if (size < 128) { /* struct sockaddr_un: 108 */
		unsigned long name = (unsigned long)address + bpf_core_field_offset(struct unix_address, name) + sizeof(short);
		bpf_probe_read_kernel(room->act.path, size, (void *)name);
		room->act.path_size = size;
	}
	read_target(&room->act, tgid);
	room->act.inode = inode_of_socket(socket);
	room->act.how = HOW_CONNECTED;
	return tell_act(room, known, room->act.target_start_ns + tgid, call_and_result);
}

static __noinline int connected_by(struct task_record *known, __u64 call_and_result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct act_room *room = get_act_room();
	if (!room)
		return 0;
	read_arguments_of_call(&room->act, task);
	return connected(known, file_of(task, room->act.arguments[0]), call_and_result);
}

#endif
