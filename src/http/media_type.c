/* Media types: the contract is in media_type.h. */

#include "media_type.h"

#include <string.h>

#include "fields.h"

#define TEXT(kind) kind "; charset=utf-8"

struct known {
    struct guaco_slice suffix;
    struct guaco_slice type;
};

#define ROW(suffix, type)             \
    {                                 \
        {suffix, sizeof(suffix) - 1}, \
        {                             \
            type, sizeof(type) - 1    \
        }                             \
    }

/* What stands on sites, by frequency; looked up by walking. */
static const struct known known_types[] = {
    ROW("html", TEXT("text/html")),
    ROW("css", TEXT("text/css")),
    ROW("js", TEXT("text/javascript")),
    ROW("mjs", TEXT("text/javascript")),
    ROW("svg", "image/svg+xml"),
    ROW("png", "image/png"),
    ROW("jpg", "image/jpeg"),
    ROW("webp", "image/webp"),
    ROW("woff2", "font/woff2"),
    ROW("json", "application/json"),
    ROW("map", "application/json"),
    ROW("ico", "image/vnd.microsoft.icon"),
    ROW("gif", "image/gif"),
    ROW("avif", "image/avif"),
    ROW("txt", TEXT("text/plain")),
    ROW("htm", TEXT("text/html")),
    ROW("xml", TEXT("text/xml")),
    ROW("wasm", "application/wasm"),
    ROW("webmanifest", "application/manifest+json"),
    ROW("jpeg", "image/jpeg"),
    ROW("woff", "font/woff"),
    ROW("ttf", "font/ttf"),
    ROW("otf", "font/otf"),
    ROW("pdf", "application/pdf"),
    ROW("mp4", "video/mp4"),
    ROW("webm", "video/webm"),
    ROW("mp3", "audio/mpeg"),
    ROW("ogg", "audio/ogg"),
    ROW("wav", "audio/wav"),
    ROW("m4a", "audio/mp4"),
    ROW("ogv", "video/ogg"),
    ROW("opus", "audio/ogg"),
    ROW("flac", "audio/flac"),
    ROW("m3u8", "application/vnd.apple.mpegurl"),
    ROW("ts", "video/mp2t"),
    ROW("csv", TEXT("text/csv")),
    ROW("md", TEXT("text/markdown")),
    ROW("ics", TEXT("text/calendar")),
    ROW("vtt", TEXT("text/vtt")),
    ROW("xhtml", "application/xhtml+xml"),
    ROW("rss", "application/rss+xml"),
    ROW("atom", "application/atom+xml"),
    ROW("jsonld", "application/ld+json"),
    ROW("geojson", "application/geo+json"),
    ROW("yaml", "application/yaml"),
    ROW("yml", "application/yaml"),
    ROW("toml", "application/toml"),
    ROW("zip", "application/zip"),
    ROW("gz", "application/gzip"),
    ROW("tar", "application/x-tar"),
    ROW("bz2", "application/x-bzip2"),
    ROW("xz", "application/x-xz"),
    ROW("zst", "application/zstd"),
    ROW("7z", "application/x-7z-compressed"),
    ROW("bmp", "image/bmp"),
    ROW("tif", "image/tiff"),
    ROW("tiff", "image/tiff"),
    ROW("jxl", "image/jxl"),
    ROW("glb", "model/gltf-binary"),
    ROW("gltf", "model/gltf+json"),
    ROW("epub", "application/epub+zip"),
    ROW("rtf", "application/rtf"),
    ROW("doc", "application/msword"),
    ROW("docx", "application/vnd.openxmlformats-officedocument"
                ".wordprocessingml.document"),
    ROW("xls", "application/vnd.ms-excel"),
    ROW("xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ROW("pptx", "application/vnd.openxmlformats-officedocument"
                ".presentationml.presentation"),
    ROW("odt", "application/vnd.oasis.opendocument.text"),
    ROW("whl", "application/zip"),
};

struct guaco_slice
guaco__media_type_of(struct guaco_slice name)
{
    const char *dot = memrchr(name.at, '.', name.len);
    struct guaco_slice suffix = {NULL, 0};

    if (dot != NULL)
        suffix = (struct guaco_slice){dot + 1,
                                      name.len - (size_t)(dot - name.at) - 1};
    for (size_t i = 0; i < sizeof(known_types) / sizeof(known_types[0]); i++)
        if (guaco__equals_lower(suffix, known_types[i].suffix))
            return known_types[i].type;
    return GUACO_SLICE("application/octet-stream");
}

static bool
ends_with(struct guaco_slice text, struct guaco_slice end)
{
    return text.len >= end.len &&
           guaco__equals_lower(
               (struct guaco_slice){text.at + text.len - end.len, end.len},
               end);
}

bool
guaco__media_type_shrinks(struct guaco_slice type)
{
    static const struct known exact[] = {
        ROW("", "application/json"),
        ROW("", "application/javascript"),
        ROW("", "application/xml"),
        ROW("", "application/wasm"),
        ROW("", "application/yaml"),
        ROW("", "application/toml"),
        ROW("", "application/x-javascript"),
        ROW("", "application/x-ndjson"),
        ROW("", "application/graphql"),
        ROW("", "application/rtf"),
        ROW("", "application/vnd.apple.mpegurl"),
        ROW("", "font/ttf"),
        ROW("", "font/otf"),
        ROW("", "image/bmp"),
        ROW("", "image/vnd.microsoft.icon"),
        ROW("", "image/x-icon"),
    };
    const char *mark = memchr(type.at, ';', type.len);
    const struct guaco_slice text = GUACO_SLICE("text/");

    if (mark != NULL)
        type.len = (size_t)(mark - type.at);
    type = guaco__trim(type);
    if (type.len > text.len &&
        guaco__equals_lower((struct guaco_slice){type.at, text.len}, text))
        return true;
    if (ends_with(type, GUACO_SLICE("+json")) ||
        ends_with(type, GUACO_SLICE("+xml")))
        return true;
    for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
        if (guaco__equals_lower(type, exact[i].type))
            return true;
    return false;
}
