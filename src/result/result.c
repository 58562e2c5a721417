/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "result/result.h"
#include "base/memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

Axes *axes_new(int count) {
  Axes *axes = mem_new(1, sizeof *axes);
  axes->references = 1;
  axes->count = count;
  return axes;
}

void axes_drop(Axes *axes) {
  if (!axes || --axes->references > 0) return;
  for (int i = 0; i < axes->count; i++) {
    free(axes->list[i].name);
    array_drop(axes->list[i].at);
  }
  free(axes);
}

Result *result_new(const char *kind) {
  Result *result = mem_new(1, sizeof *result);
  result->references = 1;
  result->kind = mem_string(kind);
  return result;
}

Result *result_keep(Result *result) {
  if (result) result->references++;
  return result;
}

void result_drop(Result *result) {
  if (!result || --result->references > 0) return;
  for (int i = 0; i < result->field_count; i++) {
    free(result->fields[i].name);
    free(result->fields[i].axes);
    free(result->fields[i].about);
    array_drop(result->fields[i].value);
    array_drop(result->fields[i].error);
    scatter_drop(result->fields[i].scatter);
    axes_drop(result->fields[i].along);
  }
  for (int i = 0; i < result->attribute_count; i++) {
    free(result->attributes[i].name);
    free(result->attributes[i].value);
  }
  if (result->drop_origin) result->drop_origin(result->origin);
  recipe_clear(&result->recipe);
  free(result->kind);
  free(result->fields);
  free(result->attributes);
  free(result);
}

ResultField *result_add(Result *result, const char *name, int layer, const char *axes,
                        const char *about, Array *value, Array *error) {
  size_t count = (size_t)result->field_count + 1;
  result->fields = mem_grow(result->fields, count * sizeof *result->fields);
  ResultField *field = &result->fields[result->field_count++];
  *field = (ResultField){
      mem_string(name), layer, mem_string(axes), mem_string(about), value, error, NULL, NULL};
  return field;
}

ResultField *result_find(const Result *result, const char *name, int layer) {
  for (int i = 0; i < result->field_count; i++)
    if (result->fields[i].layer == layer && strcmp(result->fields[i].name, name) == 0)
      return &result->fields[i];
  return NULL;
}

int result_layers(const Result *result, const char *name) {
  int layers = 0;
  for (int i = 0; i < result->field_count; i++)
    if (result->fields[i].layer > layers && strcmp(result->fields[i].name, name) == 0)
      layers = result->fields[i].layer;
  return layers;
}

bool result_lacks(const Result *result, const char *name) {
  for (int i = 0; i < result->field_count; i++) {
    const ResultField *field = &result->fields[i];
    if (!field->value && (!name || strcmp(field->name, name) == 0)) return true;
  }
  return false;
}

Status result_complete(Result *result, const char *name, char **why) {
  bool missing = result->complete && result_lacks(result, name);
  return missing ? result->complete(result, name, why) : STATUS_OK;
}

void result_note(Result *result, const char *name, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *value = mem_vformat(format, args);
  va_end(args);
  for (int i = 0; i < result->attribute_count; i++)
    if (strcmp(result->attributes[i].name, name) == 0) {
      free(result->attributes[i].value);
      result->attributes[i].value = value;
      return;
    }
  size_t count = (size_t)result->attribute_count + 1;
  result->attributes = mem_grow(result->attributes, count * sizeof *result->attributes);
  result->attributes[result->attribute_count++] = (ResultAttribute){mem_string(name), value};
}

const char *result_attribute(const Result *result, const char *name) {
  for (int i = 0; i < result->attribute_count; i++)
    if (strcmp(result->attributes[i].name, name) == 0) return result->attributes[i].value;
  return NULL;
}

double result_number(const Result *result, const char *name, double otherwise) {
  const char *text = result_attribute(result, name);
  return text ? strtod(text, NULL) : otherwise;
}

void recipe_add(ResultRecipe *recipe, const char *name, Array *array) {
  size_t count = (size_t)recipe->array_count + 1;
  recipe->arrays = mem_grow(recipe->arrays, count * sizeof *recipe->arrays);
  recipe->arrays[recipe->array_count++] = (RecipeArray){mem_string(name), array};
}

void recipe_clear(ResultRecipe *recipe) {
  for (int i = 0; i < recipe->array_count; i++) {
    free(recipe->arrays[i].name);
    array_drop(recipe->arrays[i].array);
  }
  free(recipe->arrays);
  free(recipe->text);
  *recipe = (ResultRecipe){0};
}
