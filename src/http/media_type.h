#ifndef GUACO_HTTP_MEDIA_TYPE_H
#define GUACO_HTTP_MEDIA_TYPE_H

/* Media types: of a file by its name, and which of them shrink. */

#include <stdbool.h>

#include "guaco/slice.h"

/* The Content-Type of a file by what is behind the last dot of its name, with
 * charset=utf-8 for text; application/octet-stream when that is not known.
 * Lives for ever. */
struct guaco_slice guaco__media_type_of(struct guaco_slice name);

/* Compression is worth while: text, JSON, XML, scripts, fonts that are not
 * compressed yet.  Parameters are passed over, case too. */
bool guaco__media_type_shrinks(struct guaco_slice type);

#endif
