/* --user and --group: the contract is in run/identity.h. */

#include "run/identity.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scan.h"

static bool
read_number(const char *text, int64_t *number)
{
    struct guaco__scan scan = {text, text + strlen(text)};

    /* -1 means "leave it" to the system calls */
    return guaco__scan_number(&scan, (int64_t)UINT_MAX - 1, number) &&
           guaco__scan_done(&scan);
}

static int
find_user(struct guaco__identity *identity, const char *text,
          struct guaco_error *err)
{
    int64_t number;
    bool is_number = read_number(text, &number);
    const struct passwd *pw =
        is_number ? getpwuid((uid_t)number) : getpwnam(text);

    if (pw == NULL && !is_number)
        return guaco_fail(err, GUACO_E_INVALID, 0, "--user: no user %.60s",
                          text);
    identity->user = pw != NULL ? pw->pw_uid : (uid_t)number;
    if (pw != NULL) {
        identity->group = pw->pw_gid;
        snprintf(identity->name, sizeof identity->name, "%s", pw->pw_name);
    }
    return GUACO_OK;
}

static int
find_group(struct guaco__identity *identity, const char *text,
           struct guaco_error *err)
{
    int64_t number;

    if (read_number(text, &number)) {
        identity->group = (gid_t)number;
        return GUACO_OK;
    }
    const struct group *gr = getgrnam(text);
    if (gr == NULL)
        return guaco_fail(err, GUACO_E_INVALID, 0, "--group: no group %.60s",
                          text);
    identity->group = gr->gr_gid;
    return GUACO_OK;
}

int
guaco__identity_find(struct guaco__identity *identity, const char *user,
                     const char *group, struct guaco_error *err)
{
    int rc = GUACO_OK;

    *identity = (struct guaco__identity){.user = geteuid(), .group = getegid()};
    identity->is_set = user != NULL || group != NULL;
    if (user != NULL)
        rc = find_user(identity, user, err);
    if (rc == GUACO_OK && group != NULL)
        rc = find_group(identity, group, err);
    return rc;
}

/* The other groups of the user, or none: those of the one we were must go. */
static bool
set_groups(const struct guaco__identity *identity)
{
    if (identity->name[0] != '\0')
        return initgroups(identity->name, identity->group) == 0;
    return setgroups(1, &identity->group) == 0;
}

int
guaco__identity_become(const struct guaco__identity *i, struct guaco_error *err)
{
    if (!i->is_set ||
        (geteuid() == i->user && getegid() == i->group && getuid() == i->user))
        return GUACO_OK;
    if (!set_groups(i) || setresgid(i->group, i->group, i->group) != 0 ||
        setresuid(i->user, i->user, i->user) != 0)
        return guaco_fail(err, GUACO_E_IO, errno,
                          "--user, --group: become %ld:%ld", (long)i->user,
                          (long)i->group);
    assert(geteuid() == i->user);
    if (i->user != 0 && setuid(0) == 0)
        return guaco_fail(err, GUACO_E_IO, 0,
                          "--user: the system would let us back");
    return GUACO_OK;
}

void
guaco__identity_own(const struct guaco__identity *i, const char *path)
{
    /* One that may not is the file's user already, or fails later, loudly. */
    if (i->is_set && *path != '\0' && chown(path, i->user, i->group) != 0)
        return;
}

int
guaco__identity_umask(const char *text, struct guaco_error *err)
{
    mode_t mask = 0;
    size_t len = strlen(text);

    if (len == 0 || len > 4 || strspn(text, "01234567") != len)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "--umask: '%.20s' is not an octal mask", text);
    for (const char *p = text; *p != '\0'; p++)
        mask = (mode_t)(mask * 8 + (mode_t)(*p - '0'));
    if (mask > 0777)
        return guaco_fail(err, GUACO_E_INVALID, 0,
                          "--umask: '%.20s' is over 777", text);
    umask(mask);
    return GUACO_OK;
}
