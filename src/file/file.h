/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arrays and results from and to files. Readers return STATUS_OK and a new array, STATUS_FILE with
 * the line or byte where the file goes wrong, or STATUS_LIMIT when it holds more than the memory
 * allows. Writers never leave a half file: they write beside the target and rename when everything
 * has reached the disk. `*why` is set on failure only, one line without the place in the script,
 * to be freed. */
#ifndef DMF_FILE_FILE_H
#define DMF_FILE_FILE_H

#include "base/status.h"
#include "num/array.h"
#include "result/result.h"

#include <stdio.h>

/* Readers */

/* Numbers separated by commas, semicolons, tabs or blanks, also as Fortran writes them (1D0), nan
 * and inf; `#` begins a comment. Gives [rows, columns], or [rows] when there is one column. A first
 * line without numbers that names every column (with a letter or '_' first; some names may be
 * empty) is a header, whose text, to be freed, is put into *header, else NULL. Anything else that
 * is not a number, decimal commas and words for missing values among it, and ragged rows are
 * errors. */
Status file_read_csv(const char *path, Array **array, char **header, char **why);
/* NumPy's format, versions 1 to 3: real, integer and boolean elements, either byte order, C or
 * Fortran order. Not-finite numbers pass. */
Status file_read_npy(const char *path, Array **array, char **why);
/* The format of MNIST: all its element types, an array of the file's dimensions. */
Status file_read_idx(const char *path, Array **array, char **why);
/* CIFAR-10 binary batches: images [n, 32, 32, 3] from 0 to 255, and labels [n]. */
Status file_read_cifar10(const char *path, Array **array, char **why);
Status file_read_cifar10_labels(const char *path, Array **array, char **why);
/* Any numeric dataset of an HDF5 file; `dataset` is its path in the file. Enumerations give the
 * numbers behind their names (h5py's truth values 0 and 1); what MATLAB wrote has its axes in
 * MATLAB's order. */
Status file_read_hdf5(const char *path, const char *dataset, Array **array, char **why);

/* A result that file_write_result put into HDF5: kind, exact, attributes, recipe, fields with their
 * errors; fields that were not written are missing, and there is no origin. */
Status file_read_result(const char *path, Result **result, char **why);

/* An array that file_write_field put into csv in long form: a result of kind "array" with one
 * field, its errors and the places along its axes. STATUS_FILE for other tables. */
Status file_read_field_csv(const char *path, Result **result, char **why);

/* Writers. The fields of a result that have their values are written (see result_complete). */

/* Whether the extension names a format that can hold the array, or a result where `array` is NULL;
 * STATUS_FILE otherwise. The writers below begin with this check. */
Status file_check_target(const char *path, const Array *array, char **why);
/* The same of an array with places along an axis, which .csv holds in long form. */
Status file_check_long(const char *path, const Array *array, char **why);
/* By extension: .h5 .hdf5 .npy .csv .json. `name` names the dataset, column or JSON line. */
Status file_write_array(const char *path, const char *name, const Array *array, char **why);
/* The same of an array with errors, or with axes that have places (`along`). HDF5 gets the
 * attribute kind = "array", the errors under /stderr, how they go together under /scatter, and the
 * places as dimension scales under /axes, and file_read_result gives a result of this kind with one
 * field; csv a column for every axis, where one has places, and columns of values and errors, below
 * the lines of `origin` as comments; JSON "stderr" and "axes". */
Status file_write_field(const char *path, const ResultField *field, const char *origin, char **why);
/* By extension: .h5 .hdf5 .csv .json; `script` is the text that made the result, or NULL. */
Status file_write_result(const char *path, Result *result, const char *script, char **why);

Status file_write_array_hdf5(const char *path, const char *name, const Array *array, char **why);
Status file_write_array_npy(const char *path, const Array *array, char **why);
/* Ranks up to 2: a header line of names (name, or name_0, name_1, ...), then one for each row. */
Status file_write_array_csv(const char *path, const char *name, const Array *array, char **why);
Status file_write_array_json(const char *path, const char *name, const Array *array, char **why);
/* Datasets /f, /Phi/1, ..., their errors under /stderr, each with attributes `axes` and `about`;
 * the root carries the result's attributes, `kind`, `exact`, `script`, `recipe` (its text, the
 * arrays are under /recipe), and `axes`, what the axes stand for. */
Status file_write_result_hdf5(const char *path, Result *result, const char *script, char **why);
Status file_write_field_hdf5(const char *path, const ResultField *field, char **why);
Status file_write_field_csv(const char *path, const ResultField *field, bool is_long,
                            const char *origin, char **why);
Status file_write_field_json(const char *path, const ResultField *field, char **why);
/* A header line, then one line for each time: t and all curves in t (f_0, f_1, ..., loss, ...),
 * each followed by its standard error where it has one. */
Status file_write_result_csv(const char *path, Result *result, char **why);
/* One object: kind, exact, attributes, script, and fields as a list of {name, layer, axes, about,
 * shape, data, stderr}. */
Status file_write_result_json(const char *path, Result *result, const char *script, char **why);

/* JSON lines: {"name": ..., "shape": [...], "data": [...]} with the elements in row-major order,
 * 17 significant digits, and null for numbers that are not finite. STATUS_FILE when the stream
 * fails. */
Status file_json_line(FILE *stream, const char *name, const Array *array);
Status file_json_text(FILE *stream, const char *name, const char *text);

#endif
