#ifndef GUACO_TEST_FOLDER_H
#define GUACO_TEST_FOLDER_H

/*
 * A fresh folder for a test's files; removed with all that is in it, also when
 * the program is killed first.
 */

#define FOLDER_PATH_MAX 256

/* Make it; gives its path until the next call.  Ends the program on failure,
 * since no test could go on. */
const char *folder_make(void);

/* The path of `name` in it, in a static buffer of which there are four. */
const char *folder_path(const char *name);

/* Write a file in it; folders in `name` are made. */
void folder_write(const char *name, const void *data, unsigned long len);

/* Remove it. */
void folder_remove(void);

/* Further folders.  `path` ends in XXXXXX, which becomes what makes it new. */
void folder_new(char *path);
void folder_delete(const char *path);

#endif
