/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Loops compiled once for each width of vectors; the processor's own is taken when the program
 * starts. A loop in such a function that is to give the same bits everywhere has no product that is
 * added to something: a processor that does both at once rounds once. Such functions are static:
 * clang gives the one that chooses among them another name than the one that other files would
 * call. */
#ifndef DMF_NUM_CLONES_H
#define DMF_NUM_CLONES_H

#if defined __x86_64__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
/* Without processors that round a product and its sum once: for loops of such. */
#define UNFUSED __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#define UNFUSED
#endif

#endif
