/* SPDX-License-Identifier: GPL-2.0-only */
/* The sensor's programs, one header a concern, in one object because they share their tables. */
#include "kernel.h"
#include "records.h"
#include "maps.h"
#include "confinement.h"
#include "telling.h"
#include "processes.h"
#include "techniques.h"
#include "signals.h"
#include "watched.h"
#include "opening.h"
#include "changing.h"
#include "connections.h"
#include "io_uring.h"
#include "mounting.h"
#include "calls.h"
#include "cgroups.h"
#include "iterator.h"
#include "marking.h"

/* The kernel lends the helpers that read its memory to programs under the GPL only. */
char LICENSE[] SEC("license") = "GPL";
