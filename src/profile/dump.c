/* A dump of all threads: the forms are in dump.h. */

#include "dump.h"

#include "activity.h"
#include "base/json.h"
#include "locals.h"
#include "record.h"

struct dump {
    struct guaco__target *target;
    const struct guaco__dump_options *options;
    struct guaco__buf *out;
    struct guaco__json_writer w;
    const struct guaco__mixed_frame *mixed; /* NULL: Python's frames alone */
    size_t mixed_count;
    int rc; /* the first failure inside a callback */
};

static const struct guaco__layout *
layout_of(const struct dump *d)
{
    return &guaco__target_runtime(d->target)->layout;
}

/* Text is written only while nothing has failed. */
#define PUT(d, ...)                                             \
    do {                                                        \
        if ((d)->rc == GUACO_OK)                                \
            (d)->rc = guaco__buf_printf((d)->out, __VA_ARGS__); \
    } while (0)

static int
local_text(void *ctx, struct guaco_slice name, struct guaco_slice value)
{
    struct dump *d = ctx;

    PUT(d, "        %.*s: %.*s\n", (int)name.len, name.at, (int)value.len,
        value.at);
    return d->rc;
}

static int
local_json(void *ctx, struct guaco_slice name, struct guaco_slice value)
{
    struct dump *d = ctx;

    guaco__json_open(&d->w, '{');
    guaco__json_name(&d->w, "name");
    guaco__json_put_slice(&d->w, name);
    guaco__json_name(&d->w, "repr");
    guaco__json_put_slice(&d->w, value);
    guaco__json_close(&d->w, '}');
    return GUACO_OK;
}

static void
put_locals(struct dump *d, const struct guaco__frame *frame,
           guaco__local_fn *fn)
{
    if (d->rc == GUACO_OK)
        d->rc = guaco__locals_read(guaco__target_memory(d->target),
                                   layout_of(d), frame, fn, d);
}

/* ---- frames ----------------------------------------------------------------------- */

static size_t
frame_count(const struct dump *d, const struct guaco__thread_sample *sample)
{
    return d->mixed != NULL ? d->mixed_count : sample->stack->count;
}

static struct guaco__mixed_frame
frame_at(const struct dump *d, const struct guaco__thread_sample *sample,
         size_t i)
{
    if (d->mixed != NULL)
        return d->mixed[i];
    return (struct guaco__mixed_frame){.python = &sample->stack->frames[i]};
}

/* Take the C frames too.  False: the thread has ended, or something failed. */
static bool
take_native(struct dump *d, const struct guaco__thread_sample *sample)
{
    d->mixed = NULL;
    if (d->options->native == NULL)
        return true;
    int rc = guaco__native_take(d->options->native, sample, &d->mixed,
                                &d->mixed_count);
    if (rc != GUACO_OK && rc != GUACO_E_MISSING && rc != GUACO_E_LOST)
        d->rc = rc;
    return rc == GUACO_OK;
}

/* ---- text ------------------------------------------------------------------------- */

static void
put_pyflame(struct dump *d, const struct guaco__thread_sample *sample)
{
    PUT(d, "%llu%s:\n", (unsigned long long)sample->thread_id,
        sample->holds_gil ? "*" : "");
    for (size_t i = 0; i < frame_count(d, sample); i++) {
        const struct guaco__mixed_frame mixed = frame_at(d, sample, i);
        const struct guaco__frame *frame = mixed.python;
        if (frame == NULL) {
            PUT(d, "%.*s:%.*s:0\n", (int)mixed.native->file.len,
                mixed.native->file.at, (int)mixed.native->name.len,
                mixed.native->name.at);
            continue;
        }
        PUT(d, "%.*s:%.*s:%d\n", (int)frame->code->file.len,
            frame->code->file.at, (int)frame->code->name.len,
            frame->code->name.at, (int)guaco__frame_line(layout_of(d), frame));
    }
    PUT(d, "\n");
}

static void
put_people_native(struct dump *d, const struct guaco__native_symbol *native)
{
    PUT(d, "    %.*s", (int)native->name.len, native->name.at);
    if (native->file.len > 0)
        PUT(d, " (%.*s)", (int)native->file.len, native->file.at);
    PUT(d, "\n");
}

static void
put_people_frame(struct dump *d, struct guaco__mixed_frame mixed)
{
    if (mixed.native != NULL) {
        put_people_native(d, mixed.native);
        return;
    }
    const struct guaco__code *code = mixed.python->code;
    struct guaco_slice name =
        code->qualname.len > 0 ? code->qualname : code->name;
    PUT(d, "    %.*s (%.*s:%d)\n", (int)name.len, name.at, (int)code->file.len,
        code->file.at, (int)guaco__frame_line(layout_of(d), mixed.python));
    if (d->options->locals)
        put_locals(d, mixed.python, local_text);
}

static void
put_people(struct dump *d, const struct guaco__thread_sample *sample,
           int32_t native_id, bool is_running)
{
    PUT(d, "Thread %lld (%s%s)\n",
        native_id != 0 ? (long long)native_id : (long long)sample->thread_id,
        is_running ? "running" : "idle",
        sample->holds_gil ? ", holds the GIL" : "");
    for (size_t i = 0; i < frame_count(d, sample); i++)
        put_people_frame(d, frame_at(d, sample, i));
    PUT(d, "\n");
}

/* ---- JSON ------------------------------------------------------------------------- */

static void
put_json_place(struct dump *d, struct guaco_slice name,
               struct guaco_slice qualname, struct guaco_slice file,
               int32_t line)
{
    guaco__json_name(&d->w, "name");
    guaco__json_put_slice(&d->w, name);
    guaco__json_name(&d->w, "qualname");
    guaco__json_put_slice(&d->w, qualname.len > 0 ? qualname : name);
    guaco__json_name(&d->w, "filename");
    guaco__json_put_slice(&d->w, file);
    guaco__json_name(&d->w, "line");
    guaco__json_put_int(&d->w, line);
}

static void
put_json_native(struct dump *d, const struct guaco__native_symbol *native)
{
    guaco__json_open(&d->w, '{');
    put_json_place(d, native->name, native->name, native->file, 0);
    guaco__json_name(&d->w, "native");
    guaco__json_put_bool(&d->w, true);
    guaco__json_close(&d->w, '}');
}

static void
put_json_frame(struct dump *d, struct guaco__mixed_frame mixed)
{
    const struct guaco__frame *frame = mixed.python;

    if (frame == NULL) {
        put_json_native(d, mixed.native);
        return;
    }
    const struct guaco__code *code = frame->code;
    guaco__json_open(&d->w, '{');
    put_json_place(d, code->name, code->qualname, code->file,
                   guaco__frame_line(layout_of(d), frame));
    if (d->options->locals) {
        guaco__json_name(&d->w, "locals");
        guaco__json_open(&d->w, '[');
        put_locals(d, frame, local_json);
        guaco__json_close(&d->w, ']');
    }
    guaco__json_close(&d->w, '}');
}

static void
put_json(struct dump *d, const struct guaco__thread_sample *sample,
         int32_t native_id, bool is_running)
{
    guaco__json_open(&d->w, '{');
    guaco__json_name(&d->w, "pid");
    guaco__json_put_int(&d->w, d->options->pid);
    guaco__json_name(&d->w, "thread_id");
    guaco__json_put_int(&d->w, (int64_t)sample->thread_id);
    guaco__json_name(&d->w, "os_thread_id");
    if (native_id != 0)
        guaco__json_put_int(&d->w, native_id);
    else
        guaco__json_put_null(&d->w);
    guaco__json_name(&d->w, "active");
    guaco__json_put_bool(&d->w, is_running);
    guaco__json_name(&d->w, "owns_gil");
    guaco__json_put_bool(&d->w, sample->holds_gil);
    guaco__json_name(&d->w, "frames");
    guaco__json_open(&d->w, '[');
    for (size_t i = 0; i < frame_count(d, sample); i++)
        put_json_frame(d, frame_at(d, sample, i));
    guaco__json_close(&d->w, ']');
    guaco__json_close(&d->w, '}');
}

/* ---- the dump --------------------------------------------------------------------- */

static void
on_thread(void *ctx, const struct guaco__thread_sample *sample)
{
    struct dump *d = ctx;

    int32_t native_id =
        guaco__thread_native_id(guaco__target_memory(d->target), sample);
    bool is_running = /* before it is stopped */
        guaco__thread_is_running(d->options->pid, native_id, sample->holds_gil);
    if (d->rc != GUACO_OK || !take_native(d, sample))
        return;
    if (d->options->form == GUACO__DUMP_PYFLAME)
        put_pyflame(d, sample);
    else if (d->options->form == GUACO__DUMP_JSON)
        put_json(d, sample, native_id, is_running);
    else
        put_people(d, sample, native_id, is_running);
}

static void
put_head(struct dump *d)
{
    struct guaco_slice line = d->options->command_line;
    uint32_t version = layout_of(d)->version;

    PUT(d, "Process %d: %.*s\nPython %u.%u\n\n", (int)d->options->pid,
        (int)line.len, line.at, version >> 8, version & 0xff);
}

int
guaco__dump_write(struct guaco__target *target,
                  const struct guaco__dump_options *options,
                  struct guaco__buf *out)
{
    struct dump d = {.target = target, .options = options, .out = out};

    if (options->form == GUACO__DUMP_JSON) {
        guaco__json_begin(&d.w, out);
        guaco__json_open(&d.w, '[');
    } else if (options->form == GUACO__DUMP_PEOPLE) {
        put_head(&d);
    }
    guaco__target_want(target,
                       options->native != NULL ? GUACO__WANT_HOST_IDS : 0u);
    int rc = guaco__target_sample(target, GUACO__SAMPLE_THREADS, on_thread, &d);
    if (rc == GUACO_OK)
        rc = d.rc;
    if (options->form == GUACO__DUMP_JSON) {
        guaco__json_close(&d.w, ']');
        int end = guaco__json_end(&d.w);
        if (rc == GUACO_OK)
            rc = end;
        if (rc == GUACO_OK)
            rc = guaco__buf_append_byte(out, '\n');
    }
    return rc;
}
