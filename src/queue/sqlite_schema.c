/* Opening the SQLite file: the URL, where it may lie, pragmas, the schema. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "sqlite_int.h"

#define BUSY_TIMEOUT_MS     10000
#define BUSY_TIMEOUT_MS_MAX 3600000

/* What made each version of the one before it; the first of nothing.  A file is
 * brought to the newest in one transaction. */
static const char *const versions[SQLITE_SCHEMA_VERSION] = {
    /* 1 */
    "CREATE TABLE guaco_meta(name TEXT PRIMARY KEY, value ANY NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE guaco_queue(id INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL UNIQUE, generation INTEGER NOT NULL);"
    "CREATE TABLE guaco_ready(rank INTEGER PRIMARY KEY,"
    " attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " deaths INTEGER NOT NULL, envelope BLOB NOT NULL);"
    "CREATE TABLE guaco_suspect(rank INTEGER PRIMARY KEY,"
    " attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " deaths INTEGER NOT NULL, envelope BLOB NOT NULL);"
    "CREATE TABLE guaco_delayed(due INTEGER NOT NULL, rank INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " deaths INTEGER NOT NULL, suspect INTEGER NOT NULL,"
    " envelope BLOB NOT NULL, PRIMARY KEY(due, rank)) WITHOUT ROWID;"
    "CREATE TABLE guaco_running(id INTEGER PRIMARY KEY,"
    " rank INTEGER NOT NULL, owner INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " deaths INTEGER NOT NULL, suspect INTEGER NOT NULL,"
    " alone INTEGER NOT NULL, since INTEGER NOT NULL,"
    " envelope BLOB NOT NULL);"
    "CREATE TABLE guaco_dead(id INTEGER PRIMARY KEY, rank INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " deaths INTEGER NOT NULL, since INTEGER NOT NULL,"
    " reason BLOB NOT NULL, envelope BLOB NOT NULL);"
    "CREATE TABLE guaco_result(id INTEGER PRIMARY KEY,"
    " queue INTEGER NOT NULL, state INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, finished INTEGER NOT NULL,"
    " ends INTEGER NOT NULL, body BLOB NOT NULL, reason BLOB NOT NULL);"
    "CREATE INDEX guaco_result_ends ON guaco_result(ends);"
    "CREATE TABLE guaco_event(id INTEGER NOT NULL, number INTEGER NOT NULL,"
    " ends INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE(id, number));"
    "CREATE INDEX guaco_event_ends ON guaco_event(ends);"
    "CREATE TABLE guaco_owner(id INTEGER PRIMARY KEY, pid INTEGER NOT NULL,"
    " pid_start INTEGER NOT NULL, pid_space INTEGER NOT NULL,"
    " boot TEXT NOT NULL, lease_end INTEGER NOT NULL);"
    "CREATE TABLE guaco_recur(queue INTEGER NOT NULL, name BLOB NOT NULL,"
    " spec BLOB NOT NULL, zone BLOB NOT NULL, catch_up INTEGER NOT NULL,"
    " generation INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " last INTEGER NOT NULL, envelope BLOB NOT NULL,"
    " PRIMARY KEY(queue, name)) WITHOUT ROWID;"
    "INSERT INTO guaco_meta VALUES('version', 1), ('sequence', 1);",
    /* 2: rules, canceling, pausing, keys, locks */
    "ALTER TABLE guaco_ready ADD COLUMN ruled INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE guaco_suspect ADD COLUMN ruled INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE guaco_delayed ADD COLUMN ruled INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE guaco_running ADD COLUMN ruled INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE guaco_running ADD COLUMN cancel BLOB;"
    "ALTER TABLE guaco_queue ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE guaco_queue ADD COLUMN revokes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE guaco_recur ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE guaco_recur ADD COLUMN run_time INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX guaco_delayed_id ON guaco_delayed"
    "(rank & " SQLITE_ID_MASK ");"
    "CREATE TABLE guaco_rule(id INTEGER PRIMARY KEY, rank INTEGER NOT NULL,"
    " until INTEGER NOT NULL, ukey BLOB NOT NULL,"
    " lane1 INTEGER NOT NULL, cost1 INTEGER NOT NULL,"
    " lane2 INTEGER NOT NULL, cost2 INTEGER NOT NULL,"
    " counted INTEGER NOT NULL, aside INTEGER NOT NULL,"
    " joins INTEGER NOT NULL, member INTEGER NOT NULL,"
    " members INTEGER NOT NULL);"
    "CREATE TABLE guaco_held(id INTEGER PRIMARY KEY, rank INTEGER NOT NULL,"
    " due INTEGER NOT NULL, missing INTEGER NOT NULL, must INTEGER NOT NULL,"
    " envelope BLOB NOT NULL);"
    "CREATE TABLE guaco_member(held INTEGER NOT NULL,"
    " number INTEGER NOT NULL, id INTEGER NOT NULL, state INTEGER NOT NULL,"
    " body BLOB NOT NULL, PRIMARY KEY(held, number)) WITHOUT ROWID;"
    "CREATE TABLE guaco_unique(queue INTEGER NOT NULL, ukey BLOB NOT NULL,"
    " id INTEGER NOT NULL, ends INTEGER, PRIMARY KEY(queue, ukey))"
    " WITHOUT ROWID;"
    "CREATE INDEX guaco_unique_ends ON guaco_unique(ends)"
    " WHERE ends IS NOT NULL;"
    "CREATE TABLE guaco_lane(id INTEGER PRIMARY KEY, queue INTEGER NOT NULL,"
    " name BLOB NOT NULL, refs INTEGER NOT NULL, running INTEGER NOT NULL,"
    " most INTEGER NOT NULL, spacing INTEGER NOT NULL,"
    " burst INTEGER NOT NULL, full_us INTEGER NOT NULL, wake INTEGER,"
    " UNIQUE(queue, name));"
    "CREATE INDEX guaco_lane_wake ON guaco_lane(wake) WHERE wake IS NOT NULL;"
    "CREATE TABLE guaco_aside(lane INTEGER NOT NULL, rank INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " deaths INTEGER NOT NULL, suspect INTEGER NOT NULL,"
    " envelope BLOB NOT NULL, PRIMARY KEY(lane, rank)) WITHOUT ROWID;"
    "CREATE TABLE guaco_revoke(queue INTEGER NOT NULL, name BLOB NOT NULL,"
    " until INTEGER NOT NULL, once INTEGER NOT NULL,"
    " PRIMARY KEY(queue, name)) WITHOUT ROWID;"
    "CREATE TABLE guaco_key(name BLOB PRIMARY KEY, ends INTEGER,"
    " value BLOB NOT NULL);"
    "CREATE INDEX guaco_key_ends ON guaco_key(ends) WHERE ends IS NOT NULL;"
    "CREATE TABLE guaco_lock(name BLOB NOT NULL, token INTEGER NOT NULL,"
    " owner INTEGER NOT NULL, boot TEXT NOT NULL, ends INTEGER NOT NULL,"
    " PRIMARY KEY(name, token)) WITHOUT ROWID;"
    "CREATE INDEX guaco_lock_owner ON guaco_lock(owner);"
    "UPDATE guaco_meta SET value = 2 WHERE name = 'version';",
};

/* ---- the URL ---- */

struct location {
    char path[PATH_MAX];
    bool is_full;
    uint32_t wait_ms;
};

static int
read_option(struct location *location, const char *name, size_t name_len,
            const char *value, size_t value_len, struct guaco_error *err)
{
    struct guaco_slice key = {name, name_len}, to = {value, value_len};

    if (guaco_slice_equals(key, GUACO_SLICE("synchronous")) &&
        (guaco_slice_equals(to, GUACO_SLICE("full")) ||
         guaco_slice_equals(to, GUACO_SLICE("normal")))) {
        location->is_full = value[0] == 'f';
        return GUACO_OK;
    }
    if (guaco_slice_equals(key, GUACO_SLICE("busy_timeout_ms"))) {
        char *end;
        unsigned long ms = strtoul(value, &end, 10);
        if (value_len > 0 && end == value + value_len && value[0] != '-' &&
            ms <= BUSY_TIMEOUT_MS_MAX) {
            location->wait_ms = (uint32_t)ms;
            return GUACO_OK;
        }
    }
    return guaco_fail(err, GUACO_E_INVALID, 0,
                      "sqlite option '%.*s=%.*s'; known are "
                      "synchronous=normal|full and busy_timeout_ms=0..%d",
                      (int)name_len, name, (int)value_len, value,
                      BUSY_TIMEOUT_MS_MAX);
}

static int
read_options(struct location *location, const char *query,
             struct guaco_error *err)
{
    int rc = GUACO_OK;

    while (rc == GUACO_OK && *query != '\0') {
        size_t len = strcspn(query, "&");
        size_t name_len = strcspn(query, "=&");
        size_t skip = name_len < len ? name_len + 1 : name_len;
        rc = read_option(location, query, name_len, query + skip, len - skip,
                         err);
        query += len;
        query += *query == '&';
    }
    return rc;
}

static int
read_url(struct location *location, const char *rest, struct guaco_error *err)
{
    *location = (struct location){.wait_ms = BUSY_TIMEOUT_MS};
    if (strncmp(rest, "///", 3) != 0)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "sqlite:%s: write sqlite:///PATH", rest);
    rest += 3;
    size_t len = strcspn(rest, "?");
    if (len == 0 || len + sizeof "-wake" > sizeof location->path)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "sqlite:///%s: the path has %zu bytes", rest, len);
    memcpy(location->path, rest, len);
    return read_options(location, rest[len] == '?' ? rest + len + 1 : "", err);
}

/* ---- where it may lie ---- */

/* Memory mapped by two machines is not shared, and their file locks are
 * promises that few servers keep.  9P (shares of virtual machines, WSL's
 * /mnt/c) maps without sharing.  FUSE is let in: what is behind it, a disk of
 * this machine or sshfs, cannot be told, and most are disks. */
static const char *
network_name(unsigned long type)
{
    switch (type) {
    case 0x6969: return "NFS";
    case 0x517b: return "SMB";
    case 0xff534d42: return "CIFS";
    case 0xfe534d42: return "SMB2";
    case 0x5346414f:
    case 0x6b414653: return "AFS";
    case 0x00c36400: return "Ceph";
    case 0x0bd00bd0: return "Lustre";
    case 0x7461636f: return "OCFS2";
    case 0x01161970: return "GFS2";
    case 0x01021997: return "9P";
    default: return NULL;
    }
}

static int
check_place(const char *path, struct guaco_error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    struct statfs fs;

    (void)snprintf(folder, sizeof folder, "%.*s",
                   slash == NULL ? 1 : (int)(slash - path) + 1,
                   slash == NULL ? "." : path);
    if (statfs(folder, &fs) != 0)
        return guaco_fail(err, GUACO_E_IO, errno, "the folder of %s", path);
    const char *name = network_name((unsigned long)fs.f_type & 0xffffffffUL);
    if (name != NULL)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "%s lies on %s: a SQLite queue needs a local disk "
                          "(several machines need another store)",
                          path, name);
    return GUACO_OK;
}

/* ---- the schema ---- */

static int
fail_db(struct sqlite_store *self, int rc, const char *doing,
        struct guaco_error *err)
{
    return guaco_fail(err, guaco__sql_code(rc), 0, "%s: %s", doing,
                      sqlite3_errmsg(self->db));
}

static int
exec(struct sqlite_store *self, const char *sql, struct guaco_error *err)
{
    int rc = sqlite3_exec(self->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? GUACO_OK : fail_db(self, rc, "sqlite", err);
}

/* One number or text of a query as an int; `none` if it gives no row or
 * cannot be prepared (no such table). */
static int
ask(struct sqlite_store *self, const char *sql, int none)
{
    sqlite3_stmt *stmt = NULL;
    int answer = none;

    if (sqlite3_prepare_v2(self->db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        answer = sqlite3_column_int(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return answer;
}

static int
make_schema(struct sqlite_store *self, const char *path,
            struct guaco_error *err)
{
    int version =
        ask(self, "SELECT value FROM guaco_meta WHERE name = 'version'", 0);

    if (version > SQLITE_SCHEMA_VERSION)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "%s was made by a newer guaco (schema %d, this one "
                          "knows up to %d)",
                          path, version, SQLITE_SCHEMA_VERSION);
    if (version < 0)
        return guaco_fail(err, GUACO_E_IO, 0, "%s has the version %d", path,
                          version);
    int rc = GUACO_OK;
    for (; version < SQLITE_SCHEMA_VERSION && rc == GUACO_OK; version++)
        rc = exec(self, versions[version], err);
    return rc;
}

/* As all but the first find it: then nothing is written, and who has a
 * transaction open on the file may open its queue too. */
static bool
is_prepared(struct sqlite_store *self)
{
    return ask(self,
               "SELECT 1 FROM pragma_journal_mode WHERE journal_mode = 'wal'",
               0) == 1 &&
           ask(self, "SELECT value FROM guaco_meta WHERE name = 'version'",
               0) == SQLITE_SCHEMA_VERSION;
}

/* Under the commit lock, so that two that open a new file at once agree. */
static int
prepare_file(struct sqlite_store *self, const struct location *location,
             struct guaco_error *err)
{
    if (is_prepared(self))
        return GUACO_OK;
    uint64_t deadline_ns =
        guaco__clock_mono_ns() + (uint64_t)self->base.wait_ms * 1000000u;
    int rc = guaco__bell_lock(&self->bell, deadline_ns, err);
    if (rc != GUACO_OK)
        return rc;

    rc = exec(self, "PRAGMA journal_mode = WAL", err);
    if (rc == GUACO_OK && ask(self,
                              "SELECT 1 FROM pragma_journal_mode "
                              "WHERE journal_mode = 'wal'",
                              0) != 1)
        rc = guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                        "%s cannot have a write-ahead log", location->path);
    if (rc == GUACO_OK)
        rc = exec(self, "BEGIN IMMEDIATE", err);
    if (rc == GUACO_OK) {
        rc = make_schema(self, location->path, err);
        if (rc == GUACO_OK)
            rc = exec(self, "COMMIT", err);
        if (rc != GUACO_OK)
            (void)sqlite3_exec(self->db, "ROLLBACK", NULL, NULL, NULL);
    }
    guaco__bell_unlock(&self->bell);
    return rc;
}

/* The file must be there before its bell; made here, since a descriptor of
 * ours that is closed later would drop SQLite's locks. */
static int
touch(const char *path, struct guaco_error *err)
{
    struct stat st;

    if (stat(path, &st) == 0)
        return S_ISREG(st.st_mode)
                   ? GUACO_OK
                   : guaco_fail(err, GUACO_E_INVALID, 0, "%s is no file", path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return guaco_fail(err, GUACO_E_IO, errno, "make %s", path);
    if (fd >= 0)
        close(fd);
    return GUACO_OK;
}

static int
set_pragmas(struct sqlite_store *self, struct guaco_error *err)
{
    (void)sqlite3_busy_timeout(self->db, (int)self->base.wait_ms);
    return exec(self,
                self->is_full ? "PRAGMA synchronous = FULL;"
                                "PRAGMA temp_store = MEMORY;"
                                "PRAGMA wal_autocheckpoint = 0;"
                              : "PRAGMA synchronous = NORMAL;"
                                "PRAGMA temp_store = MEMORY;"
                                "PRAGMA wal_autocheckpoint = 0;",
                err);
}

int
guaco__sqlite_open_db(struct sqlite_store *self, struct guaco_error *err)
{
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    int sqlite_rc = sqlite3_open_v2(self->path, &self->db, flags, NULL);
    int rc = GUACO_OK;

    if (self->db == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "open %s", self->path);
    if (sqlite_rc != SQLITE_OK)
        rc = fail_db(self, sqlite_rc, self->path, err);
    else
        rc = set_pragmas(self, err);
    if (rc != GUACO_OK) {
        (void)sqlite3_close(self->db);
        self->db = NULL;
    }
    return rc;
}

int
guaco__sqlite_connect(struct sqlite_store *self, const char *rest,
                      struct guaco_error *err)
{
    struct location location;
    int rc = read_url(&location, rest, err);

    if (rc != GUACO_OK)
        return rc;
    self->base.wait_ms = location.wait_ms;
    self->is_full = location.is_full;
    rc = check_place(location.path, err);
    if (rc == GUACO_OK)
        rc = touch(location.path, err);
    if (rc == GUACO_OK) {
        /* Absolute: it is opened again after a fork, whatever the current
         * folder is then. */
        self->path = realpath(location.path, NULL);
        if (self->path == NULL)
            rc = guaco_fail(err, GUACO_E_IO, errno, "%s", location.path);
    }
    if (rc == GUACO_OK)
        rc = guaco__bell_open(&self->bell, self->path, err);
    if (rc != GUACO_OK) {
        free(self->path);
        return rc;
    }
    rc = guaco__sqlite_open_db(self, err);
    if (rc == GUACO_OK)
        rc = prepare_file(self, &location, err);
    if (rc != GUACO_OK) {
        (void)sqlite3_close(self->db);
        guaco__bell_close(&self->bell);
        free(self->path);
    }
    return rc;
}
