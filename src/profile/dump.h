#ifndef GUACO_PROFILE_DUMP_H
#define GUACO_PROFILE_DUMP_H

/*
 * What each thread of a process does now, once, as text or JSON.
 *
 *     pyflame:                        for people:
 *       140612=*:                       Process 12: python app.py
 *       app.py:work:10                  Python 3.11
 *       app.py:<module>:20
 *                                       Thread 12 (running, holds the GIL)
 *                                           work (app.py:10)
 *                                               n: 3
 *                                           <module> (app.py:20)
 *
 * JSON is an array of threads:
 *
 *     [{"pid": 12, "thread_id": 140612, "os_thread_id": 12, "active": true,
 *       "owns_gil": true, "frames": [{"name": "work", "qualname": "work",
 *       "filename": "app.py", "line": 10, "locals": [{"name": "n",
 *       "repr": "3"}]}]}]
 *
 * A frame of C has its library as its file, line 0 and "native": true.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "guaco/error.h"
#include "guaco/slice.h"
#include "native.h"
#include "target.h"

enum guaco__dump_form {
    GUACO__DUMP_PYFLAME, /* frames from the leaf out, file:function:line */
    GUACO__DUMP_PEOPLE,
    GUACO__DUMP_JSON,
};

struct guaco__dump_options {
    enum guaco__dump_form form;
    int32_t pid;
    struct guaco_slice command_line; /* for people; may be empty */
    bool locals;                     /* not with pyflame's form */
    struct guaco__native *native;    /* with C frames; NULL: without */
};

/*
 * Take a sample and append it to `out`.
 *
 * Returns 0, as guaco__target_sample(), or as guaco__buf_append().
 */
int guaco__dump_write(struct guaco__target *target,
                      const struct guaco__dump_options *options,
                      struct guaco__buf *out);

#endif
