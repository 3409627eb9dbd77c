"""What of libbpf is called: its functions with their C types, and the structures that they take.

Source: ``bpf.h`` and ``libbpf.h`` of libbpf 1.0 and later, ``include/uapi/linux/bpf.h``.
"""

from __future__ import annotations

import ctypes

Pointer = ctypes.c_void_p
Print = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
Sample = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

# (name, result, arguments); c_int results are negative errors, pointers are NULL
FUNCTIONS: tuple[tuple[str, type, tuple[type, ...]], ...] = (
    ("libbpf_set_print", Pointer, (Print,)),
    ("libbpf_num_possible_cpus", ctypes.c_int, ()),
    ("bpf_object__open_file", Pointer, (ctypes.c_char_p, Pointer)),
    ("bpf_object__load", ctypes.c_int, (Pointer,)),
    ("bpf_object__close", None.__class__, (Pointer,)),
    ("bpf_object__next_program", Pointer, (Pointer, Pointer)),
    ("bpf_object__find_map_by_name", Pointer, (Pointer, ctypes.c_char_p)),
    ("bpf_program__name", ctypes.c_char_p, (Pointer,)),
    ("bpf_program__fd", ctypes.c_int, (Pointer,)),
    ("bpf_program__set_autoload", ctypes.c_int, (Pointer, ctypes.c_bool)),
    ("bpf_program__attach", Pointer, (Pointer,)),
    ("bpf_program__attach_tracepoint", Pointer, (Pointer, ctypes.c_char_p, ctypes.c_char_p)),
    ("bpf_program__attach_iter", Pointer, (Pointer, Pointer)),
    ("bpf_link__fd", ctypes.c_int, (Pointer,)),
    ("bpf_link__destroy", ctypes.c_int, (Pointer,)),
    ("bpf_link__disconnect", None.__class__, (Pointer,)),
    ("bpf_obj_get_info_by_fd", ctypes.c_int, (ctypes.c_int, Pointer, Pointer)),
    ("bpf_iter_create", ctypes.c_int, (ctypes.c_int,)),
    ("bpf_prog_test_run_opts", ctypes.c_int, (ctypes.c_int, Pointer)),
    ("bpf_map__fd", ctypes.c_int, (Pointer,)),
    ("bpf_map__set_max_entries", ctypes.c_int, (Pointer, ctypes.c_uint32)),
    ("bpf_map__value_size", ctypes.c_uint32, (Pointer,)),
    ("bpf_map_update_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64)),
    ("bpf_map_lookup_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p)),
    ("bpf_map_delete_elem", ctypes.c_int, (ctypes.c_int, ctypes.c_char_p)),
    ("ring_buffer__new", Pointer, (ctypes.c_int, Sample, Pointer, Pointer)),
    ("ring_buffer__epoll_fd", ctypes.c_int, (Pointer,)),
    ("ring_buffer__consume", ctypes.c_int, (Pointer,)),
    ("ring_buffer__free", None.__class__, (Pointer,)),
)


class TestRun(ctypes.Structure):
    """``struct bpf_test_run_opts``."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", Pointer),
        ("data_out", Pointer),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_char_p),
        ("ctx_out", Pointer),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class LinkInfo(ctypes.Structure):
    """The beginning of ``struct bpf_link_info`` (``include/uapi/linux/bpf.h``)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("program_id", ctypes.c_uint32),
        ("_rest", ctypes.c_uint8 * 244),
    )
