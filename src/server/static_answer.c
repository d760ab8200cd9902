/*
 * The answer to a request for a file: see statics.h.
 *
 * The file is opened, and what is said of it is said of the descriptor, so
 * that a file that is replaced meanwhile cannot mix with another.  All of an
 * answer is queued at once: a file costs a node of the queue, not its bytes.
 */

#include "server/statics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/date.h"
#include "base/log.h"
#include "base/rand.h"
#include "http/coding.h"
#include "http/conditions.h"
#include "http/file_path.h"
#include "http/h1_writer.h"
#include "http/media_type.h"
#include "server/server_int.h"

enum {
    FIELDS_MAX = 10,
    ETAG_BYTES = 64,
    BOUNDARY_BYTES = 33,
    PART_BYTES = 320,      /* of the head of a part */
    READ_BYTES_MAX = 8192, /* cheaper read than handed to sendfile */
};

#define MULTIPART "multipart/byteranges; boundary="

/* What was found and what will be said of it. */
struct found {
    int fd;
    uint64_t size;
    int64_t modified_s;
    uint32_t modified_ns;
    enum guaco__coding coding;
    bool may_vary; /* other codings of it may be there */
    struct guaco_slice type;
    char etag[ETAG_BYTES];
};

struct answer {
    struct guaco_exchange *x;
    struct guaco_field fields[FIELDS_MAX];
    size_t count;
};

static void
add(struct answer *a, struct guaco_slice name, struct guaco_slice value)
{
    if (value.len > 0)
        a->fields[a->count++] = (struct guaco_field){name, value};
}

static struct guaco_slice
text_of(const char *text)
{
    return (struct guaco_slice){text, strlen(text)};
}

static bool
is_method(const struct guaco_exchange *x, struct guaco_slice method)
{
    return guaco_slice_equals(x->request->method, method);
}

/* ---- answers without a file ---- */

/* The status with its name as text. */
static int
answer_text(struct answer *a, int status)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%s\n", guaco__status_text(status));
    struct guaco_bytes body = {text, (size_t)len, NULL, NULL};
    int rc;

    add(a, GUACO_SLICE("content-type"),
        GUACO_SLICE("text/plain; charset=utf-8"));
    rc = guaco_exchange_start(a->x, status, a->fields, a->count, false);
    if (rc == GUACO_OK)
        guaco_exchange_body(a->x, body, false); /* gone tells what failed */
    return rc;
}

static int
answer_empty(struct answer *a, int status)
{
    int rc = guaco_exchange_start(a->x, status, a->fields, a->count, false);

    if (rc == GUACO_OK)
        guaco_exchange_finish(a->x);
    return rc;
}

/* The folder's own path has a slash at its end.  Relative, because a proxy may
 * have taken something off in front; "./" keeps a colon from being a scheme. */
static int
answer_redirect(struct answer *a)
{
    const struct guaco_request *r = a->x->request;
    const char *last = (const char *)memrchr(r->path.at, '/', r->path.len) + 1;
    char at[GUACO__STATIC_ROUTE_BYTES + 4 * GUACO__FILE_PATH_BYTES];
    int len = snprintf(
        at, sizeof(at), "./%.*s/%s%.*s", (int)(r->path.at + r->path.len - last),
        last, r->query.len > 0 ? "?" : "", (int)r->query.len, r->query.at);

    if (len < 0 || (size_t)len >= sizeof(at))
        return answer_text(a, 414);
    add(a, GUACO_SLICE("location"), (struct guaco_slice){at, (size_t)len});
    return answer_text(a, 301);
}

/* ---- finding the file ---- */

static int
status_of_errno(struct guaco__server *server, int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV: /* it would have led out of the folder */
    case ENAMETOOLONG:
    case ENXIO: return 404;
    case EACCES: return 403;
    default: break;
    }
    guaco__log(server->options.log, GUACO_LOG_ERROR, "server",
               "a static file cannot be opened errno=%d", error);
    return 503;
}

/* Open `path` and look at it.  Returns 0; 301 for a folder; or 404, 403, 503. */
static int
open_path(struct guaco__server *server, struct guaco__static_mount *mount,
          const char *path, struct found *f)
{
    struct stat info;
    int fd = guaco__beneath_file(&mount->folder, path);

    if (fd < 0)
        return status_of_errno(server, -fd);
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return S_ISDIR(info.st_mode) ? 301 : 404;
    }
    f->fd = fd;
    f->size = (uint64_t)info.st_size;
    f->modified_s = info.st_mtim.tv_sec;
    f->modified_ns = (uint32_t)info.st_mtim.tv_nsec;
    return 0;
}

/* In place of the file: its sibling in the coding that the client likes best. */
static void
open_sibling(struct guaco__server *server, struct guaco__static_mount *mount,
             const char *path, const struct guaco_request *request,
             struct found *f)
{
    static const char suffixes[GUACO__CODING_COUNT][6] = {".br", ".zst", ".gz"};
    enum guaco__coding codings[GUACO__CODING_COUNT];
    char name[GUACO__FILE_PATH_BYTES + GUACO__STATIC_INDEX_BYTES + 6];
    size_t count = guaco__codings_read(request, codings);
    int original = f->fd;

    f->may_vary = true;
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffixes[codings[i]]);
        if (open_path(server, mount, name, f) != 0)
            continue;
        close(original);
        f->coding = codings[i];
        return;
    }
}

/* The file that `path` names, or the index of the folder.  As open_path(); 301
 * only for a folder that has an index. */
static int
find(struct guaco__server *server, struct guaco__static_mount *mount,
     const char *path, bool is_folder, const struct guaco_request *request,
     struct found *f)
{
    const struct guaco__statics *statics = &server->options.statics;
    char name[GUACO__FILE_PATH_BYTES + GUACO__STATIC_INDEX_BYTES];
    int status = open_path(server, mount, path, f);

    if (status == 0 && is_folder) {
        close(f->fd); /* "/a.txt/" is not "/a.txt" */
        return 404;
    }
    if (status == 301) {
        if (statics->index[0] == '\0')
            return 404;
        snprintf(name, sizeof(name), "%s%s%s", path, *path ? "/" : "",
                 statics->index);
        path = name;
        status = open_path(server, mount, path, f);
        if (status == 0 && !is_folder) {
            close(f->fd);
            return 301;
        }
        status = status == 301 ? 404 : status;
    }
    if (status != 0)
        return status;
    f->type = guaco__media_type_of(text_of(path));
    f->coding = GUACO__CODING_IDENTITY;
    f->may_vary = false;
    if (statics->has_siblings && guaco__media_type_shrinks(f->type))
        open_sibling(server, mount, path, request, f);
    return 0;
}

/* ---- what is said of it ---- */

/* Size and time of the last change tell two versions apart, but not within the
 * grain of the file system's clock: so soon after a change the tag is weak.
 * The coding is in it, for each is another representation. */
static void
set_etag(struct found *f, int64_t now_s)
{
    bool is_weak = now_s - f->modified_s < 2;
    struct guaco_slice coding = {NULL, 0};

    if (f->coding != GUACO__CODING_IDENTITY)
        coding = guaco__coding_name(f->coding);
    snprintf(f->etag, sizeof(f->etag),
             "%s\"%" PRIx64 "-%" PRIx64 "%08" PRIx32 "%s%.*s\"",
             is_weak ? "W/" : "", f->size, (uint64_t)f->modified_s,
             f->modified_ns, coding.len > 0 ? "-" : "", (int)coding.len,
             coding.at);
}

static void
add_cache_control(struct answer *a, const struct guaco__statics *statics,
                  const char *path, char out[64])
{
    if (statics->hashes_are_for_ever && guaco__file_is_hashed(text_of(path))) {
        add(a, GUACO_SLICE("cache-control"),
            GUACO_SLICE("public, max-age=31536000, immutable"));
    } else if (statics->max_age_s >= 0) {
        snprintf(out, 64, "public, max-age=%" PRId64, statics->max_age_s);
        add(a, GUACO_SLICE("cache-control"), text_of(out));
    }
}

/* ---- sending ---- */

static void
send_piece(struct guaco_exchange *x, const char *text, size_t len, bool more)
{
    struct guaco_bytes bytes = {text, len, NULL, NULL};

    guaco_exchange_body(x, bytes, more);
}

/* Read a small file and send it with its head, in one write. */
static void
send_read(struct guaco_exchange *x, const struct found *f, uint64_t offset,
          size_t count)
{
    char buf[READ_BYTES_MAX];

    if (pread(f->fd, buf, count, (off_t)offset) == (ssize_t)count)
        send_piece(x, buf, count, false);
    else
        guaco_exchange_abort(x); /* it got shorter */
}

/* From `offset`, or nothing when the method is HEAD; what fails ends the
 * connection, and gone tells. */
static void
send_file(struct guaco_exchange *x, const struct found *f, uint64_t offset,
          uint64_t count)
{
    if (count == 0 || is_method(x, GUACO_SLICE("HEAD")))
        guaco_exchange_finish(x);
    else if (count <= READ_BYTES_MAX)
        send_read(x, f, offset, (size_t)count);
    else
        guaco_exchange_file(x, f->fd, (off_t)offset, count, false);
}

static void
add_length(struct answer *a, uint64_t length, char out[24])
{
    snprintf(out, 24, "%" PRIu64, length);
    add(a, GUACO_SLICE("content-length"), text_of(out));
}

static int
answer_whole(struct answer *a, const struct found *f)
{
    char length[24];
    int rc;

    add(a, GUACO_SLICE("content-type"), f->type);
    add_length(a, f->size, length);
    rc = guaco_exchange_start(a->x, 200, a->fields, a->count, false);
    if (rc == GUACO_OK)
        send_file(a->x, f, 0, f->size);
    return rc;
}

static int
answer_range(struct answer *a, const struct found *f,
             const struct guaco__range *range)
{
    uint64_t count = range->to - range->from + 1;
    char length[24], text[80];
    int rc;

    snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
             range->from, range->to, f->size);
    add(a, GUACO_SLICE("content-range"), text_of(text));
    add(a, GUACO_SLICE("content-type"), f->type);
    add_length(a, count, length);
    rc = guaco_exchange_start(a->x, 206, a->fields, a->count, false);
    if (rc == GUACO_OK)
        send_file(a->x, f, range->from, count);
    return rc;
}

/* The head of a part of multipart/byteranges; its length. */
static size_t
write_part(char out[PART_BYTES], const char *boundary, const struct found *f,
           const struct guaco__range *range)
{
    int len = snprintf(out, PART_BYTES,
                       "\r\n--%s\r\ncontent-type: %.*s\r\ncontent-range: bytes "
                       "%" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n\r\n",
                       boundary, (int)f->type.len, f->type.at, range->from,
                       range->to, f->size);

    return (size_t)len;
}

static void
send_parts(struct guaco_exchange *x, const struct found *f,
           const struct guaco__range *ranges, size_t count,
           const char *boundary)
{
    char text[PART_BYTES];

    for (size_t i = 0; i < count; i++) {
        size_t len = write_part(text, boundary, f, &ranges[i]);

        send_piece(x, text, len, true);
        guaco_exchange_file(x, f->fd, (off_t)ranges[i].from,
                            ranges[i].to - ranges[i].from + 1, true);
    }
    snprintf(text, sizeof(text), "\r\n--%s--\r\n", boundary);
    send_piece(x, text, strlen(text), false);
}

/* What no file has in it by chance; without a source of chance, its own tag
 * would do as well as any constant, so a constant it is. */
static void
set_boundary(char out[BOUNDARY_BYTES])
{
    uint8_t bytes[(BOUNDARY_BYTES - 1) / 2] = {0};

    guaco__rand_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static int
answer_ranges(struct answer *a, const struct found *f,
              const struct guaco__range *ranges, size_t count)
{
    char boundary[BOUNDARY_BYTES], type[sizeof(MULTIPART) + BOUNDARY_BYTES];
    char text[PART_BYTES], length[24];
    uint64_t total = strlen("\r\n----\r\n");
    int rc;

    set_boundary(boundary);
    total += strlen(boundary);
    for (size_t i = 0; i < count; i++)
        total += write_part(text, boundary, f, &ranges[i]) + ranges[i].to -
                 ranges[i].from + 1;
    snprintf(type, sizeof(type), MULTIPART "%s", boundary);
    add(a, GUACO_SLICE("content-type"), text_of(type));
    add_length(a, total, length);
    rc = guaco_exchange_start(a->x, 206, a->fields, a->count, false);
    if (rc == GUACO_OK)
        send_parts(a->x, f, ranges, count, boundary);
    return rc;
}

/* The file is there: conditions, ranges, all of it. */
static int
answer_file(struct answer *a, const struct found *f,
            const struct guaco__validators *v)
{
    const struct guaco_request *r = a->x->request;
    struct guaco__range ranges[GUACO__RANGES_MAX];
    char text[40];
    int status = guaco__conditions_judge(r, v);
    int count = 0;

    if (status == 304)
        return answer_empty(a, 304);
    if (status == 412)
        return answer_text(a, 412);
    add(a, GUACO_SLICE("accept-ranges"), GUACO_SLICE("bytes"));
    if (is_method(a->x, GUACO_SLICE("GET")))
        count = guaco__ranges_read(r, v, f->size, ranges);
    if (count < 0) {
        snprintf(text, sizeof(text), "bytes */%" PRIu64, f->size);
        add(a, GUACO_SLICE("content-range"), text_of(text));
        return answer_text(a, 416);
    }
    if (f->coding != GUACO__CODING_IDENTITY)
        add(a, GUACO_SLICE("content-encoding"), guaco__coding_name(f->coding));
    if (count == 0)
        return answer_whole(a, f);
    if (count == 1)
        return answer_range(a, f, &ranges[0]);
    return answer_ranges(a, f, ranges, (size_t)count);
}

static int
answer_found(struct guaco__server *server, struct answer *a, struct found *f,
             const char *path)
{
    int64_t now_s = guaco__clock_wall_ms(&server->access.clock) / 1000;
    char modified[GUACO__DATE_HTTP_BYTES], cache[64];
    struct guaco__validators v = {.now_s = now_s};

    set_etag(f, now_s);
    v.etag = text_of(f->etag);
    /* never later than Date (RFC 9110 8.8.2.1), and a date that can be said */
    v.modified_s = f->modified_s > now_s ? now_s : f->modified_s;
    if (v.modified_s < GUACO__DATE_MIN_S)
        v.modified_s = GUACO__DATE_MIN_S;
    guaco__date_format_http(v.modified_s, modified);
    add(a, GUACO_SLICE("etag"), v.etag);
    add(a, GUACO_SLICE("last-modified"), text_of(modified));
    add_cache_control(a, &server->options.statics, path, cache);
    if (f->may_vary)
        add(a, GUACO_SLICE("vary"), GUACO_SLICE("accept-encoding"));
    return answer_file(a, f, &v);
}

int
guaco__static_answer(struct guaco__server *server,
                     struct guaco__static_mount *mount, struct guaco_slice rest,
                     struct guaco_exchange *x)
{
    const struct guaco__statics *statics = &server->options.statics;
    bool is_shared = mount->route_len == 0;
    struct answer a = {.x = x};
    struct found f = {.fd = -1};
    char path[GUACO__FILE_PATH_BYTES];
    bool is_folder;
    int status;
    int rc;

    if (!is_method(x, GUACO_SLICE("GET")) &&
        !is_method(x, GUACO_SLICE("HEAD"))) {
        if (is_shared)
            return GUACO_E_MISSING;
        add(&a, GUACO_SLICE("allow"), GUACO_SLICE("GET, HEAD"));
        return answer_text(&a, 405);
    }
    status = guaco__file_path(rest, statics->has_dots, path, &is_folder);
    if (status == 0)
        status = find(server, mount, path, is_folder, x->request, &f);
    if (is_shared && (status == 404 || status == 400))
        return GUACO_E_MISSING;
    if (status == 301)
        return answer_redirect(&a);
    if (status != 0)
        return answer_text(&a, status);
    rc = answer_found(server, &a, &f, path);
    close(f.fd);
    return rc;
}
