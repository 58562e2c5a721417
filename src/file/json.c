/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JSON is written as it goes, since a tree of a large array would take many times its memory;
 * jansson quotes the strings. */
#include "base/memory.h"
#include "base/work.h"
#include "file/file.h"
#include "file/io.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* Text that is not UTF-8 (a file name may be anything) is quoted with '?' for its odd bytes. */
static json_t *string_of(const char *text) {
  json_t *string = json_string(text);
  if (string) return string;
  char *plain = mem_string(text);
  for (char *c = plain; *c; c++)
    if ((unsigned char)*c >= 0x80) *c = '?';
  string = json_string(plain);
  free(plain);
  return string;
}

static void put_string(FILE *stream, const char *text) {
  json_t *string = string_of(text);
  if (string) json_dumpf(string, stream, JSON_ENCODE_ANY);
  json_decref(string);
}

static void put_shape(FILE *stream, const Array *array) {
  fputs("\"shape\": [", stream);
  for (int i = 0; i < array->rank; i++) fprintf(stream, i ? ", %zu" : "%zu", array->shape[i]);
  fputc(']', stream);
}

/* What is left off, since somebody wants out, is no JSON. */
static void put_data(FILE *stream, const Array *array) {
  fputc('[', stream);
  for (size_t i = 0; i < array->size && work_goes_on(i); i++) {
    if (i) fputs(", ", stream);
    if (isfinite(array->data[i]))
      fprintf(stream, "%.17g", array->data[i]);
    else
      fputs("null", stream);
  }
  if (!work_stopped()) fputc(']', stream);
}

static Status state(FILE *stream) { return ferror(stream) ? STATUS_FILE : STATUS_OK; }

Status file_json_line(FILE *stream, const char *name, const Array *array) {
  fputs("{\"name\": ", stream);
  put_string(stream, name);
  fputs(", ", stream);
  put_shape(stream, array);
  fputs(", \"data\": ", stream);
  put_data(stream, array);
  fputs("}\n", stream);
  return state(stream);
}

Status file_json_text(FILE *stream, const char *name, const char *text) {
  fputs("{\"name\": ", stream);
  put_string(stream, name);
  fputs(", \"shape\": [], \"data\": ", stream);
  put_string(stream, text);
  fputs("}\n", stream);
  return state(stream);
}

typedef struct Named {
  const char *name;
  const Array *array;
} Named;

static Status put_line(FILE *stream, void *context, char **why) {
  const Named *named = context;
  file_json_line(stream, named->name, named->array);
  return work_stopped() ? file_stop(why) : STATUS_OK;
}

Status file_write_array_json(const char *path, const char *name, const Array *array, char **why) {
  return file_replace_stream(path, put_line, &(Named){name, array}, why);
}

/* The names and places of axes. */
static void put_axes(FILE *stream, const Axes *axes) {
  fputs(", \"axes\": [", stream);
  for (int i = 0; i < axes->count; i++) {
    const Axis *axis = &axes->list[i];
    fputs(i ? ", {\"name\": " : "{\"name\": ", stream);
    put_string(stream, axis->name ? axis->name : "");
    if (axis->at) fputs(", \"at\": ", stream);
    if (axis->at) put_data(stream, axis->at);
    fputc('}', stream);
  }
  fputc(']', stream);
}

static Status put_numbers(FILE *stream, void *context, char **why) {
  const ResultField *field = context;
  fputs("{\"name\": ", stream);
  put_string(stream, field->name);
  fputs(", ", stream);
  put_shape(stream, field->value);
  fputs(", \"data\": ", stream);
  put_data(stream, field->value);
  if (field->error) fputs(", \"stderr\": ", stream);
  if (field->error) put_data(stream, field->error);
  if (field->along) put_axes(stream, field->along);
  fputs("}\n", stream);
  return work_stopped() ? file_stop(why) : STATUS_OK;
}

Status file_write_field_json(const char *path, const ResultField *field, char **why) {
  return file_replace_stream(path, put_numbers, (void *)field, why);
}

static void put_field(FILE *stream, const ResultField *field) {
  fputs("    {\"name\": ", stream);
  put_string(stream, field->name);
  fprintf(stream, ", \"layer\": %d, \"axes\": ", field->layer);
  put_string(stream, field->axes);
  fputs(", \"about\": ", stream);
  put_string(stream, field->about);
  fputs(", ", stream);
  put_shape(stream, field->value);
  fputs(", \"data\": ", stream);
  put_data(stream, field->value);
  if (field->error) {
    fputs(", \"stderr\": ", stream);
    put_data(stream, field->error);
  }
  fputc('}', stream);
}

static void put_attributes(FILE *stream, const Result *result) {
  fputs("  \"attributes\": {", stream);
  for (int i = 0; i < result->attribute_count; i++) {
    if (i) fputs(", ", stream);
    put_string(stream, result->attributes[i].name);
    fputs(": ", stream);
    put_string(stream, result->attributes[i].value);
  }
  fputs("},\n", stream);
}

typedef struct Report {
  const Result *result;
  const char *script;
} Report;

static Status put_result(FILE *stream, void *context, char **why) {
  const Report *report = context;
  const Result *result = report->result;
  fputs("{\n  \"kind\": ", stream);
  put_string(stream, result->kind);
  fprintf(stream, ",\n  \"exact\": %s,\n", result->exact ? "true" : "false");
  put_attributes(stream, result);
  if (report->script) {
    fputs("  \"script\": ", stream);
    put_string(stream, report->script);
    fputs(",\n", stream);
  }
  fputs("  \"fields\": [", stream);
  const char *between = "\n";
  for (int i = 0; i < result->field_count; i++) {
    if (!result->fields[i].value) continue;
    fputs(between, stream);
    put_field(stream, &result->fields[i]);
    between = ",\n";
  }
  fputs("\n  ]\n}\n", stream);
  return work_stopped() ? file_stop(why) : STATUS_OK;
}

Status file_write_result_json(const char *path, Result *result, const char *script, char **why) {
  return file_replace_stream(path, put_result, &(Report){result, script}, why);
}
