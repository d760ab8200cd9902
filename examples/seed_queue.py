from guaco import SqliteQueue, crontab

huey = SqliteQueue("demo")

@huey.task()
def add_numbers(a, b):
    return a + b


@huey.task(retries=2, retry_delay=20)
def flaky_task(url):
    return this_might_fail(url)



def this_might_fail(url):
    from random import randint
    a = randint(0,4)
    print(a)
    if a == 2:
        raise Exception()

def sync_all_data():
    print("finished data")


@huey.periodic_task(crontab(minute='1'))
def nightly_task():
    sync_all_data()
