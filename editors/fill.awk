# SPDX-License-Identifier: GPL-3.0-or-later
# awk -f fill.awk WORDS TEMPLATE: puts the names of the language, as `dmf --reference words` lists them,
# in place of @KIND@, joined by bars for a regular expression.
FNR == NR {
  if (!(($1, $2) in seen)) names[$1] = names[$1] (names[$1] ? "|" : "") $2
  seen[$1, $2] = 1
  next
}
{
  for (kind in names) gsub("@" kind "@", names[kind])
  print
}
