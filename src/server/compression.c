/*
 * Compression as a layer: the contract is in compression.h.
 *
 * The layer puts a table of its own in place of x->ops.  A response that may
 * be compressed is begun in the protocol below only with its first piece, when
 * it is known whether it is the only one, and whether it is a file:
 *
 *   PASS      everything goes straight through
 *   HELD      start was called; a copy of it waits for the first piece
 *   CODED     begun below, through the compressor
 *
 * A file that follows pieces which were compressed is read and compressed too,
 * a slice at a time as the client takes it.
 *
 * so that its head may leave a turn later than it would without compression.
 */

#include "server/compression.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/coding.h"
#include "http/compress.h"
#include "http/fields.h"
#include "http/h1_writer.h"
#include "http/media_type.h"
#include "server/layer.h"
#include "server/server_int.h"

enum {
    SLICE_BYTES = 65536, /* of a piece, compressed at a time */
    OUT_MAX_BYTES =
        4 << 20, /* of what comes of one slice, or of a short body */
    WHOLE_MAX_BYTES = 1 << 20, /* a longer body leaves in several pieces */
};

struct layer {
    struct guaco__layer base; /* first */
    struct guaco__server *server;
    unsigned open; /* compressors */
};

enum state { STATE_PASS, STATE_HELD, STATE_CODED };

/* A copy of what start was called with. */
struct held {
    int status;
    bool trailers;
    size_t count;
    struct guaco_field fields[];
};

/* A file on its way through the compressor. */
struct pump {
    int fd; /* a duplicate, while left > 0 */
    off_t offset;
    uint64_t left;
    bool more; /* of the body behind it */
};

/* The layer's space in an exchange. */
struct own {
    struct guaco_exchange_ops ops; /* first: what the application calls */
    const struct guaco_exchange_ops *below;
    struct layer *layer;
    struct held *held;
    struct guaco__compressor *compressor;
    enum state state;
    enum guaco__coding coding; /* IDENTITY: none that the client takes */
    int64_t announced;         /* Content-Length of the application, or -1 */
    uint64_t given;            /* bytes of the body so far */
    bool is_started;
    bool is_over; /* the last piece was given */
    struct pump pump;
};

static struct own *
own_of(struct guaco_exchange *x)
{
    return (struct own *)(uintptr_t)x->ops;
}

/* ---- options ---- */

void
guaco__compression_init(struct guaco__compression *compression)
{
    *compression = (struct guaco__compression){.min_bytes = 500};
}

static bool
is_type(struct guaco_slice text)
{
    const char *slash = memchr(text.at, '/', text.len);
    size_t head = slash == NULL ? 0 : (size_t)(slash - text.at);
    struct guaco_slice kind = {text.at, head};
    struct guaco_slice rest = {text.at + head + 1, text.len - head - 1};

    return slash != NULL && text.len < GUACO__COMPRESS_TYPE_BYTES &&
           guaco__is_token(kind) && guaco__is_token(rest);
}

int
guaco__compression_add_types(struct guaco__compression *c,
                             struct guaco_slice types, struct guaco_error *err)
{
    struct guaco_slice item;

    while (guaco__list_next(&types, &item)) {
        char *out = c->types[c->type_count];

        if (!is_type(item))
            return guaco_fail(err, GUACO_E_INVALID, 0, "'%.*s' is no type",
                              (int)(item.len < 64 ? item.len : 64), item.at);
        if (c->type_count == GUACO__COMPRESS_TYPES_MAX)
            return guaco_fail(err, GUACO_E_LIMIT, 0, "more than %d types",
                              GUACO__COMPRESS_TYPES_MAX);
        for (size_t i = 0; i < item.len; i++)
            out[i] = item.at[i] >= 'A' && item.at[i] <= 'Z'
                         ? (char)(item.at[i] | 0x20)
                         : item.at[i];
        out[item.len] = '\0';
        if (item.at[item.len - 1] == '*')
            out[item.len - 1] = '\0'; /* "text/" */
        c->type_count++;
    }
    return GUACO_OK;
}

static bool
is_chosen(const struct guaco__compression *c, struct guaco_slice type)
{
    const char *mark;

    if (type.len == 0)
        return false;
    mark = memchr(type.at, ';', type.len);
    if (c->type_count == 0)
        return guaco__media_type_shrinks(type);
    if (mark != NULL)
        type.len = (size_t)(mark - type.at);
    type = guaco__trim(type);
    for (unsigned i = 0; i < c->type_count; i++) {
        struct guaco_slice known = {c->types[i], strlen(c->types[i])};
        bool is_open = known.at[known.len - 1] == '/';
        struct guaco_slice part = type;

        if (is_open && part.len > known.len)
            part.len = known.len;
        if (guaco__equals_lower(part, known))
            return true;
    }
    return false;
}

/* ---- which responses ---- */

/* What the fields of a response say. */
struct about {
    struct guaco_slice type;
    int64_t length; /* -1: not said */
    bool is_fixed;  /* encoded, a part, or not to be transformed */
    bool varies;    /* Vary has accept-encoding, or * */
};

static int64_t
read_length(struct guaco_slice text)
{
    int64_t length = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || length > INT64_MAX / 10 - 9)
            return -1;
        length = length * 10 + (text.at[i] - '0');
    }
    return text.len > 0 ? length : -1;
}

static struct about
look(const struct guaco_field *fields, size_t count)
{
    struct about about = {.length = -1};

    for (size_t i = 0; i < count; i++) {
        struct guaco_slice value = fields[i].value;

        switch (guaco__h1_field_id(fields[i].name)) {
        case GUACO__FIELD_CONTENT_TYPE: about.type = value; break;
        case GUACO__FIELD_CONTENT_LENGTH:
            about.length = read_length(guaco__trim(value));
            break;
        case GUACO__FIELD_CONTENT_ENCODING:
        case GUACO__FIELD_CONTENT_RANGE: about.is_fixed = true; break;
        case GUACO__FIELD_CACHE_CONTROL:
            about.is_fixed |=
                guaco__list_has(value, GUACO_SLICE("no-transform"));
            break;
        case GUACO__FIELD_VARY:
            about.varies |=
                guaco__list_has(value, GUACO_SLICE("accept-encoding")) ||
                guaco__list_has(value, GUACO_SLICE("*"));
            break;
        default: break;
        }
    }
    return about;
}

/* Its representation depends on what the client accepts. */
static bool
is_eligible(const struct own *own, int status, const struct about *about)
{
    const struct guaco__compression *c =
        &own->layer->server->options.compression;

    return status >= 200 && status != 204 && status != 205 && status != 206 &&
           status != 304 && !about->is_fixed && is_chosen(c, about->type) &&
           (about->length < 0 || (uint64_t)about->length >= c->min_bytes);
}

/* ---- the head ---- */

static void
drop_held(struct own *own)
{
    free(own->held);
    own->held = NULL;
}

static struct held *
hold(int status, const struct guaco_field *fields, size_t count, bool trailers)
{
    size_t bytes = 0;
    struct held *held;
    char *at;

    for (size_t i = 0; i < count; i++)
        bytes += fields[i].name.len + fields[i].value.len + strlen("W/");
    held = malloc(sizeof(*held) + (count + 2) * sizeof(*fields) + bytes);
    if (held == NULL)
        return NULL;
    held->status = status;
    held->trailers = trailers;
    held->count = count;
    at = (char *)&held->fields[count + 2];
    for (size_t i = 0; i < count; i++) {
        struct guaco_field *field = &held->fields[i];

        *field = fields[i];
        memcpy(at, field->name.at, field->name.len);
        field->name.at = at;
        at += field->name.len;
        if (guaco__h1_field_id(field->name) == GUACO__FIELD_ETAG &&
            field->value.len > 0 && field->value.at[0] == '"') {
            *at++ = 'W'; /* in front of the value: room to weaken it */
            *at++ = '/';
        }
        if (field->value.len > 0)
            memcpy(at, field->value.at, field->value.len);
        field->value.at = at;
        at += field->value.len;
    }
    return held;
}

static void
add_field(struct held *held, struct guaco_slice name, struct guaco_slice value)
{
    held->fields[held->count++] = (struct guaco_field){name, value};
}

/* As the head of the encoded representation: without the length and ranges of
 * the other, and with a tag that says so (RFC 9110 8.8.1). */
static void
encode_fields(struct held *held, struct guaco_slice coding)
{
    size_t kept = 0;

    for (size_t i = 0; i < held->count; i++) {
        struct guaco_field field = held->fields[i];
        int id = guaco__h1_field_id(field.name);

        if (id == GUACO__FIELD_CONTENT_LENGTH ||
            id == GUACO__FIELD_ACCEPT_RANGES)
            continue;
        if (id == GUACO__FIELD_ETAG && field.value.len > 0 &&
            field.value.at[0] == '"')
            field.value =
                (struct guaco_slice){field.value.at - 2, field.value.len + 2};
        held->fields[kept++] = field;
    }
    held->count = kept;
    add_field(held, GUACO_SLICE("content-encoding"), coding);
}

/* Begin the held response below.  Whatever comes of it, nothing is held then. */
static int
release(struct guaco_exchange *x, struct own *own)
{
    struct held *held = own->held;
    int rc = own->below->start(x, held->status, held->fields, held->count,
                               held->trailers);

    drop_held(own);
    return rc;
}

/* ... as it is. */
static int
pass_on(struct guaco_exchange *x, struct own *own)
{
    own->state = STATE_PASS;
    return release(x, own);
}

/* ... compressed, `bytes` long before that, if they are known.  Without memory
 * or a free place it is passed on. */
static int
encode(struct guaco_exchange *x, struct own *own, int64_t bytes)
{
    struct layer *layer = own->layer;

    if (layer->open >= GUACO__COMPRESSORS_MAX ||
        guaco__compressor_new(&own->compressor, own->coding, bytes) < 0)
        return pass_on(x, own);
    layer->open++;
    encode_fields(own->held, guaco__coding_name(own->coding));
    own->state = STATE_CODED;
    return release(x, own);
}

static void
drop_compressor(struct own *own)
{
    if (own->compressor == NULL)
        return;
    guaco__compressor_free(own->compressor);
    own->compressor = NULL;
    assert(own->layer->open > 0);
    own->layer->open--;
}

/* What the protocol below would say of the fields, without beginning. */
static int
check_fields(struct own *own, int status, const struct guaco_field *fields,
             size_t count)
{
    struct guaco__buf *out = &own->layer->server->scratch;
    struct guaco__h1_response response = {
        .status = status, .fields = fields, .field_count = count};
    struct guaco__h1_draft draft;
    struct guaco__buf large;
    int rc;

    guaco__buf_reset(out);
    rc = guaco__h1_begin_head(out, &response, &draft);
    if (rc != GUACO_E_LIMIT)
        return rc;
    guaco__buf_init(&large, 1 << 20);
    rc = guaco__h1_begin_head(&large, &response, &draft);
    guaco__buf_release(&large);
    return rc == GUACO_E_LIMIT ? GUACO_E_INVALID : rc;
}

static int
start_op(struct guaco_exchange *x, int status, const struct guaco_field *fields,
         size_t count, bool trailers)
{
    struct own *own = own_of(x);
    struct about about;
    int rc;

    /* once begun, or gone, the protocol below has the answer */
    about = look(fields, count);
    if (own->is_started || own->is_over || !is_eligible(own, status, &about)) {
        if (own->state == STATE_HELD)
            return GUACO_E_STATE;
        rc = own->below->start(x, status, fields, count, trailers);
        own->is_started |= rc == GUACO_OK;
        return rc;
    }
    rc = check_fields(own, status, fields, count);
    if (rc < 0)
        return rc;
    own->held = hold(status, fields, count, trailers);
    if (own->held == NULL)
        return GUACO_E_NOMEM;
    if (!about.varies)
        add_field(own->held, GUACO_SLICE("vary"),
                  GUACO_SLICE("accept-encoding"));
    own->announced = about.length;
    own->state = STATE_HELD;
    own->is_started = true;
    return own->coding == GUACO__CODING_IDENTITY ? pass_on(x, own) : GUACO_OK;
}

/* ---- the body ---- */

static void
drop_pump(struct own *own)
{
    if (own->pump.left > 0)
        close(own->pump.fd);
    own->pump.left = 0;
}

/* What has left cannot be gone on with. */
static void
break_off(struct guaco_exchange *x, struct own *own)
{
    own->is_over = true;
    drop_pump(own);
    drop_compressor(own);
    own->below->abort(x);
}

/* Compress one slice and hand on what comes of it. */
static int
send_slice(struct guaco_exchange *x, struct own *own, struct guaco_slice slice,
           bool more)
{
    struct guaco__buf out;
    struct guaco_bytes bytes = {NULL, 0, NULL, NULL};
    int rc;

    guaco__buf_init(&out, OUT_MAX_BYTES);
    rc = guaco__compress(own->compressor, slice,
                         more ? GUACO__COMPRESS_FLUSH : GUACO__COMPRESS_END,
                         &out);
    if (rc == GUACO_OK) {
        bytes.at = guaco__buf_data(&out);
        bytes.len = out.len;
        rc = own->below->body(x, bytes, more);
    } else {
        rc = GUACO_E_NOMEM;
        break_off(x, own);
    }
    guaco__buf_release(&out);
    return rc;
}

static int
send_slices(struct guaco_exchange *x, struct own *own, struct guaco_slice data,
            bool more)
{
    size_t most = more || own->given > 0 || data.len > WHOLE_MAX_BYTES
                      ? SLICE_BYTES
                      : WHOLE_MAX_BYTES;
    int worst = GUACO_OK;

    if (data.len == 0)
        data.at = "";
    do {
        size_t len = data.len < most ? data.len : most;
        struct guaco_slice slice = {data.at, len};
        int rc;

        data.at += len;
        data.len -= len;
        rc = send_slice(x, own, slice, more || data.len > 0);
        if (rc < 0 && rc != GUACO_E_AGAIN)
            return rc;
        worst = rc < 0 ? rc : worst;
    } while (data.len > 0);
    return worst;
}

/* Hand on the last bytes; what is shorter than announced must not pass for
 * whole. */
static int
end_body(struct guaco_exchange *x, struct own *own, struct guaco_slice data)
{
    bool is_short =
        own->announced >= 0 && own->given + data.len < (uint64_t)own->announced;
    int rc = send_slices(x, own, data, is_short);

    if (rc < 0 && rc != GUACO_E_AGAIN)
        return rc;
    own->is_over = true;
    own->given += data.len;
    if (is_short)
        break_off(x, own);
    drop_compressor(own);
    return rc;
}

/* Read on in the file; all of it, or until the client holds back.  A file that
 * got shorter breaks the response off. */
static int
pump_on(struct guaco_exchange *x, struct own *own, bool is_all)
{
    struct pump *pump = &own->pump;
    char buf[SLICE_BYTES / 2];
    int rc = GUACO_OK;

    while (pump->left > 0 && (rc == GUACO_OK || is_all)) {
        size_t len =
            pump->left < sizeof(buf) ? (size_t)pump->left : sizeof(buf);
        ssize_t n = pread(pump->fd, buf, len, pump->offset);
        bool is_last = n > 0 && (uint64_t)n == pump->left;

        if (n <= 0) {
            break_off(x, own);
            return GUACO_E_IO;
        }
        if (is_last)
            drop_pump(own);
        else
            pump->left -= (uint64_t)n;
        pump->offset += n;
        if (is_last && !pump->more)
            return end_body(x, own, (struct guaco_slice){buf, (size_t)n});
        rc = send_slice(x, own, (struct guaco_slice){buf, (size_t)n}, true);
        if (rc < 0 && rc != GUACO_E_AGAIN)
            return rc;
        own->given += (uint64_t)n;
    }
    return rc;
}

/* An application that did not hold back: what it gave before goes first. */
static int
finish_pump(struct guaco_exchange *x, struct own *own)
{
    int rc = own->pump.left > 0 ? pump_on(x, own, true) : GUACO_OK;

    return rc == GUACO_E_AGAIN ? GUACO_OK : rc;
}

/* A piece in a response that is compressed. */
static int
coded_body(struct guaco_exchange *x, struct own *own, struct guaco_bytes data,
           bool more)
{
    struct guaco_slice slice = {data.at, data.len};
    bool is_overlong = false;
    int rc;

    if (own->is_over)
        return GUACO_E_STATE;
    if (more && data.len == 0)
        return GUACO_OK;
    if (own->announced >= 0 &&
        slice.len > (uint64_t)own->announced - own->given) {
        slice.len = (size_t)((uint64_t)own->announced - own->given);
        is_overlong = true;
        more = false;
    }
    rc = more ? send_slices(x, own, slice, true) : end_body(x, own, slice);
    if (rc < 0 && rc != GUACO_E_AGAIN)
        return rc;
    if (more)
        own->given += slice.len;
    if (is_overlong)
        return GUACO_E_INVALID;
    if (data.release != NULL)
        data.release(data.owner);
    return rc;
}

/* A file behind compressed pieces. */
static int
coded_file(struct guaco_exchange *x, struct own *own, int fd, off_t offset,
           uint64_t count, bool more)
{
    struct guaco_bytes none = {NULL, 0, NULL, NULL};
    struct stat info;
    uint64_t here;

    if (own->is_over)
        return GUACO_E_STATE;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || offset < 0)
        return GUACO_E_INVALID;
    here = offset < info.st_size ? (uint64_t)(info.st_size - offset) : 0;
    if (count == UINT64_MAX)
        count = here;
    if (count > here ||
        (own->announced >= 0 && count > (uint64_t)own->announced - own->given))
        return GUACO_E_INVALID;
    if (count == 0)
        return more ? GUACO_OK : coded_body(x, own, none, false);
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return GUACO_E_IO;
    own->pump = (struct pump){fd, offset, count, more};
    return pump_on(x, own, false);
}

static int
body_op(struct guaco_exchange *x, struct guaco_bytes data, bool more)
{
    struct own *own = own_of(x);
    int rc = GUACO_OK;

    if (own->state == STATE_HELD) {
        size_t least = own->layer->server->options.compression.min_bytes;

        if (more && data.len == 0)
            return GUACO_OK;
        if (!more && (data.len < least || data.len == 0))
            rc = pass_on(x, own);
        else
            rc = encode(x, own, more ? -1 : (int64_t)data.len);
    }
    if (rc == GUACO_OK)
        rc = finish_pump(x, own);
    if (rc < 0)
        return rc;
    if (own->state == STATE_PASS)
        return own->below->body(x, data, more);
    return coded_body(x, own, data, more);
}

static int
file_op(struct guaco_exchange *x, int fd, off_t offset, uint64_t count,
        bool more)
{
    struct own *own = own_of(x);
    int rc = GUACO_OK;

    if (own->state == STATE_HELD)
        rc = pass_on(x, own);
    if (rc == GUACO_OK)
        rc = finish_pump(x, own);
    if (rc < 0)
        return rc;
    if (own->state == STATE_CODED)
        return coded_file(x, own, fd, offset, count, more);
    return own->below->file(x, fd, offset, count, more);
}

/* ---- the rest ---- */

static int
trailers_op(struct guaco_exchange *x, const struct guaco_field *fields,
            size_t count)
{
    struct own *own = own_of(x);
    int rc = finish_pump(x, own);

    if (own->state == STATE_HELD)
        return GUACO_E_STATE; /* before the last piece */
    return rc < 0 ? rc : own->below->trailers(x, fields, count);
}

static int
wait_op(struct guaco_exchange *x, uint32_t timeout_ms)
{
    struct own *own = own_of(x);

    return own->state == STATE_HELD ? GUACO_OK
                                    : own->below->wait(x, timeout_ms);
}

/* ---- the layer ---- */

static int
on_begin(struct guaco_app *app, struct guaco_exchange *x)
{
    struct layer *layer = (struct layer *)(void *)app;
    struct guaco_app *inner = layer->base.inner;
    struct own *own = guaco__layer_space(&layer->base, x);
    enum guaco__coding codings[GUACO__CODING_COUNT];
    int rc;

    own->layer = layer;
    if (x->request->kind != GUACO_REQUEST_HTTP)
        return inner->ops->begin(inner, x);
    /* HEAD has the fields of GET, but for those that only a body gives */
    own->coding = GUACO__CODING_IDENTITY;
    if (!guaco_slice_equals(x->request->method, GUACO_SLICE("HEAD")) &&
        guaco__codings_read(x->request, codings) > 0)
        own->coding = codings[0];
    own->below = x->ops;
    own->ops = *x->ops;
    own->ops.start = start_op;
    own->ops.body = body_op;
    own->ops.file = file_op;
    own->ops.trailers = trailers_op;
    own->ops.wait = wait_op;
    x->ops = &own->ops;
    rc = inner->ops->begin(inner, x);
    if (rc < 0) {
        drop_held(own);
        drop_compressor(own);
    }
    return rc;
}

static void
on_writable(struct guaco_app *app, struct guaco_exchange *x)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;
    struct own *own = guaco__layer_space(guaco__layer_of(app), x);

    if (own->pump.left > 0 && pump_on(x, own, false) == GUACO_E_AGAIN)
        return; /* told again when that has drained */
    inner->ops->writable(inner, x);
}

static void
on_gone(struct guaco_app *app, struct guaco_exchange *x,
        enum guaco_gone_reason reason)
{
    struct guaco_app *inner = guaco__layer_of(app)->inner;
    struct own *own = guaco__layer_space(guaco__layer_of(app), x);

    drop_held(own);
    drop_pump(own);
    drop_compressor(own);
    /* calls of an application that still has a reference go straight through */
    own->state = STATE_PASS;
    own->is_over = true;
    inner->ops->gone(inner, x, reason);
}

struct guaco_app *
guaco__compression_layer_new(struct guaco__server *server,
                             struct guaco_app *inner)
{
    struct layer *layer = calloc(1, sizeof(*layer));

    if (layer == NULL)
        return NULL;
    guaco__layer_init(&layer->base, inner, sizeof(struct own));
    layer->server = server;
    layer->base.ops.begin = on_begin;
    layer->base.ops.writable = on_writable;
    layer->base.ops.gone = on_gone;
    return &layer->base.app;
}

void
guaco__compression_layer_free(struct guaco_app *app)
{
    free(app);
}
