#ifndef GUACO_QUEUE_SQLITE_STATEMENTS_H
#define GUACO_QUEUE_SQLITE_STATEMENTS_H

/* The statements, prepared at first use. */
#define SQLITE_STATEMENTS(X)                                                   \
    X(BEGIN_READ, "BEGIN")                                                     \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                          \
    X(COMMIT, "COMMIT")                                                        \
    X(ROLLBACK, "ROLLBACK")                                                    \
    X(QUEUE_ALL, "SELECT id, name, generation FROM guaco_queue")               \
    X(QUEUE_ADD,                                                               \
      "INSERT INTO guaco_queue(id, name, generation) VALUES(?1, ?2, 0)")       \
    X(SEQUENCE_GET, "SELECT value FROM guaco_meta WHERE name = 'sequence'")    \
    X(SEQUENCE_SET,                                                            \
      "UPDATE guaco_meta SET value = ?1 WHERE name = 'sequence'")              \
    X(READY_ADD,                                                               \
      "INSERT INTO guaco_ready(rank, attempt, failures, deaths, envelope) "    \
      "VALUES(?1, ?2, ?3, ?4, ?5)")                                            \
    X(READY_HEAD,                                                              \
      "SELECT rank, attempt, failures, deaths, envelope FROM guaco_ready "     \
      "WHERE rank >= ?1 AND rank < ?2 ORDER BY rank LIMIT ?3")                 \
    X(READY_DROP, "DELETE FROM guaco_ready WHERE rank >= ?1 AND rank <= ?2")   \
    X(SUSPECT_ADD,                                                             \
      "INSERT INTO guaco_suspect(rank, attempt, failures, deaths, envelope) "  \
      "VALUES(?1, ?2, ?3, ?4, ?5)")                                            \
    X(SUSPECT_HEAD,                                                            \
      "SELECT rank, attempt, failures, deaths, envelope FROM guaco_suspect "   \
      "WHERE rank >= ?1 AND rank < ?2 ORDER BY rank LIMIT ?3")                 \
    X(SUSPECT_DROP,                                                            \
      "DELETE FROM guaco_suspect WHERE rank >= ?1 AND rank <= ?2")             \
    X(DELAYED_ADD,                                                             \
      "INSERT INTO guaco_delayed(due, rank, attempt, failures, deaths, "       \
      "suspect, envelope) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")                 \
    X(DELAYED_DUE,                                                             \
      "SELECT rank, attempt, failures, deaths, envelope, suspect, due "        \
      "FROM guaco_delayed WHERE due <= ?1 ORDER BY due, rank LIMIT ?2")        \
    X(DELAYED_DROP, "DELETE FROM guaco_delayed WHERE (due, rank) <= (?1, ?2)") \
    X(DELAYED_NEXT, "SELECT due FROM guaco_delayed ORDER BY due LIMIT 1")      \
    X(RUNNING_ADD,                                                             \
      "INSERT INTO guaco_running(id, rank, owner, attempt, failures, deaths, " \
      "suspect, alone, since, envelope) "                                      \
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")                       \
    X(RUNNING_GET,                                                             \
      "SELECT rank, attempt, failures, deaths, envelope, suspect, alone "      \
      "FROM guaco_running WHERE id = ?1 AND owner = ?2 AND attempt = ?3")      \
    X(RUNNING_RANK, "SELECT rank FROM guaco_running "                          \
                    "WHERE id = ?1 AND owner = ?2 AND attempt = ?3")           \
    X(RUNNING_DROP, "DELETE FROM guaco_running "                               \
                    "WHERE id = ?1 AND owner = ?2 AND attempt = ?3")           \
    X(RUNNING_OF,                                                              \
      "SELECT rank, attempt, failures, deaths, envelope, suspect, alone "      \
      "FROM guaco_running WHERE owner = ?1")                                   \
    X(RUNNING_DROP_OF, "DELETE FROM guaco_running WHERE owner = ?1")           \
    X(OWNER_ADD,                                                               \
      "INSERT INTO guaco_owner(id, pid, pid_start, pid_space, boot, "          \
      "lease_end) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                             \
    X(OWNER_RENEW, "UPDATE guaco_owner SET lease_end = ?2 WHERE id = ?1")      \
    X(OWNER_HAS, "SELECT 1 FROM guaco_owner WHERE id = ?1")                    \
    X(OWNER_DROP, "DELETE FROM guaco_owner WHERE id = ?1")                     \
    X(OWNER_ALL,                                                               \
      "SELECT id, pid, pid_start, pid_space, boot = ?1, lease_end < ?2, "      \
      "EXISTS(SELECT 1 FROM guaco_running WHERE owner = guaco_owner.id) "      \
      "FROM guaco_owner")                                                      \
    X(DEAD_ADD,                                                                \
      "INSERT INTO guaco_dead(id, rank, attempt, failures, deaths, since, "    \
      "reason, envelope) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")              \
    X(DEAD_GET,                                                                \
      "SELECT rank, attempt, failures, deaths, envelope FROM guaco_dead "      \
      "WHERE rank >= ?1 AND rank < ?2 AND (?3 = 0 OR id = ?3)")                \
    X(DEAD_DROP, "DELETE FROM guaco_dead "                                     \
                 "WHERE rank >= ?1 AND rank < ?2 AND (?3 = 0 OR id = ?3)")     \
    X(RESULT_SET,                                                              \
      "INSERT OR REPLACE INTO guaco_result(id, queue, state, attempt, "        \
      "finished, ends, body, reason) "                                         \
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                                \
    X(RESULT_GET,                                                              \
      "SELECT state, attempt, finished, body, reason FROM guaco_result "       \
      "WHERE id = ?1")                                                         \
    X(RESULT_DROP, "DELETE FROM guaco_result WHERE id = ?1")                   \
    X(RESULT_ENDED,                                                            \
      "DELETE FROM guaco_result WHERE id IN (SELECT id FROM guaco_result "     \
      "WHERE ends <= ?1 ORDER BY ends LIMIT ?2)")                              \
    X(RESULT_NEXT, "SELECT ends FROM guaco_result ORDER BY ends LIMIT 1")      \
    X(EVENT_LAST, "SELECT number FROM guaco_event WHERE id = ?1 "              \
                  "ORDER BY number DESC LIMIT 1")                              \
    X(EVENT_ADD, "INSERT INTO guaco_event(id, number, ends, body) "            \
                 "VALUES(?1, ?2, ?3, ?4)")                                     \
    X(EVENT_TRIM, "DELETE FROM guaco_event WHERE id = ?1 AND number <= ?2")    \
    X(EVENT_AFTER, "SELECT number, body FROM guaco_event "                     \
                   "WHERE id = ?1 AND number > ?2 ORDER BY number")            \
    X(EVENT_ENDED,                                                             \
      "DELETE FROM guaco_event WHERE rowid IN (SELECT rowid "                  \
      "FROM guaco_event WHERE ends <= ?1 ORDER BY ends LIMIT ?2)")             \
    X(EVENT_NEXT, "SELECT ends FROM guaco_event ORDER BY ends LIMIT 1")        \
    X(RECUR_CLEAR, "DELETE FROM guaco_recur WHERE queue = ?1")                 \
    X(RECUR_LAST,                                                              \
      "SELECT last FROM guaco_recur "                                          \
      "WHERE queue = ?1 AND name = ?2 AND spec = ?3 AND zone = ?4")            \
    X(RECUR_SET,                                                               \
      "INSERT OR REPLACE INTO guaco_recur(queue, name, spec, zone, catch_up, " \
      "generation, priority, last, envelope) "                                 \
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                            \
    X(RECUR_ALL,                                                               \
      "SELECT queue, name, spec, zone, envelope, catch_up, generation, "       \
      "priority, last FROM guaco_recur ORDER BY queue, name")                  \
    X(RECUR_TICK,                                                              \
      "UPDATE guaco_recur SET last = ?5 WHERE queue = ?1 AND name = ?2 "       \
      "AND generation = ?3 AND last = ?4")                                     \
    X(RECUR_HAS, "SELECT 1 FROM guaco_recur WHERE queue = ?1 AND name = ?2")   \
    X(QUEUE_GENERATION,                                                        \
      "UPDATE guaco_queue SET generation = ?2 WHERE id = ?1")                  \
    X(STATS,                                                                   \
      "SELECT (SELECT count(*) FROM guaco_ready "                              \
      "WHERE rank >= ?1 AND rank < ?2) + (SELECT count(*) "                    \
      "FROM guaco_suspect WHERE rank >= ?1 AND rank < ?2), "                   \
      "(SELECT count(*) FROM guaco_delayed WHERE rank >= ?1 AND rank < ?2), "  \
      "(SELECT count(*) FROM guaco_running WHERE rank >= ?1 AND rank < ?2), "  \
      "(SELECT count(*) FROM guaco_dead WHERE rank >= ?1 AND rank < ?2), "     \
      "(SELECT count(*) FROM guaco_result WHERE queue = ?3), "                 \
      "(SELECT count(*) FROM guaco_recur WHERE queue = ?3)")                   \
    X(LIST_WAITING,                                                            \
      "SELECT rank, attempt, failures, deaths, envelope, 0, NULL "             \
      "FROM (SELECT * FROM guaco_ready UNION ALL "                             \
      "SELECT * FROM guaco_suspect) "                                          \
      "WHERE rank >= ?1 AND rank < ?2 ORDER BY rank LIMIT ?3 OFFSET ?4")       \
    X(LIST_DELAYED,                                                            \
      "SELECT rank, attempt, failures, deaths, envelope, due, NULL "           \
      "FROM guaco_delayed WHERE rank >= ?1 AND rank < ?2 "                     \
      "ORDER BY due, rank LIMIT ?3 OFFSET ?4")                                 \
    X(LIST_RUNNING,                                                            \
      "SELECT rank, attempt, failures, deaths, envelope, since, NULL "         \
      "FROM guaco_running WHERE rank >= ?1 AND rank < ?2 "                     \
      "ORDER BY since, id LIMIT ?3 OFFSET ?4")                                 \
    X(LIST_DEAD,                                                               \
      "SELECT rank, attempt, failures, deaths, envelope, since, reason "       \
      "FROM guaco_dead WHERE rank >= ?1 AND rank < ?2 "                        \
      "ORDER BY since, id LIMIT ?3 OFFSET ?4")                                 \
    X(PURGE_WAITING, "DELETE FROM guaco_ready WHERE rank >= ?1 AND rank < ?2") \
    X(PURGE_SUSPECT,                                                           \
      "DELETE FROM guaco_suspect WHERE rank >= ?1 AND rank < ?2")              \
    X(PURGE_DELAYED,                                                           \
      "DELETE FROM guaco_delayed WHERE rank >= ?1 AND rank < ?2")              \
    X(PURGE_RESULT, "DELETE FROM guaco_result WHERE queue = ?1")

#endif
