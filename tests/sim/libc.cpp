// SPDX-License-Identifier: LGPL-2.1-or-later
//
// libc.cpp: the C library's functions that wait, start threads or close, as the simulator has them. A
// program's own definition of such a function is the one that its libraries call, too: libasound's poll() and
// libstdc++'s threads end here.

#include "tests/sim/machine.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unordered_map>

using namespace ringmix::sim;

namespace {

struct Epoll final : Object {
    static constexpr Kind its_kind = Kind::epoll;
    Epoll() : Object(its_kind) {}
    struct Watched {
        std::weak_ptr<Object> object;
        epoll_data_t data;
    };
    std::unordered_map<int, Watched> watched;
    std::vector<int> order;
};

std::unordered_map<sem_t*, std::shared_ptr<Counter>> semaphores;
std::unordered_map<pthread_t, Fibre*> threads;

std::int64_t deadline_of(int timeout_ms) { return timeout_ms < 0 ? never : world->now() + timeout_ms * ms; }

} // namespace

extern "C" {

#pragma GCC visibility push(default)

int close(int fd)
{
    if (!World::ours(fd))
        return static_cast<int>(syscall(SYS_close, fd));
    world->close_fd(fd);
    return 0;
}

int poll(pollfd* fds, nfds_t count, int timeout_ms)
{
    std::vector<std::shared_ptr<Object>> objects;
    std::vector<Object*> waits;
    for (nfds_t i = 0; i < count; i++) {
        fds[i].revents = 0;
        if (fds[i].fd < 0)
            continue;
        if (!World::ours(fds[i].fd)) { // stderr
            fds[i].revents = fds[i].events;
            return 1;
        }
        objects.push_back(world->object(fds[i].fd));
        if (objects.back() == nullptr)
            fail("polls descriptor {}, which is not open", fds[i].fd);
        waits.push_back(objects.back().get());
    }
    world->wait(waits, deadline_of(timeout_ms));
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        if (fds[i].fd >= 0 && world->object(fds[i].fd)->readable()) {
            fds[i].revents = POLLIN;
            ready++;
        }
    }
    return ready;
}

int epoll_create1(int) { return world->open_fd(std::make_shared<Epoll>()); }

int epoll_ctl(int epfd, int operation, int fd, epoll_event* event)
{
    const auto epoll = world->object_as<Epoll>(epfd);
    const auto object = world->object(fd);
    if (!epoll || !object) {
        errno = EBADF;
        return -1;
    }
    std::erase(epoll->order, fd);
    if (operation == EPOLL_CTL_DEL) {
        epoll->watched.erase(fd);
        return 0;
    }
    epoll->watched[fd] = {object, event->data};
    if ((event->events & EPOLLIN) != 0)
        epoll->order.push_back(fd);
    return 0;
}

int epoll_wait(int epfd, epoll_event* events, int most, int timeout_ms)
{
    const auto epoll = world->object_as<Epoll>(epfd);
    std::vector<std::shared_ptr<Object>> objects;
    std::vector<Object*> waits;
    std::vector<int> fds;
    for (auto i = epoll->order.begin(); i != epoll->order.end();) {
        auto object = epoll->watched[*i].object.lock();
        if (!object || world->object(*i) != object) { // closed
            epoll->watched.erase(*i);
            i = epoll->order.erase(i);
            continue;
        }
        waits.push_back(object.get());
        objects.push_back(std::move(object));
        fds.push_back(*i++);
    }
    world->wait(waits, deadline_of(timeout_ms));
    int count = 0;
    for (std::size_t i = 0; i < waits.size() && count < most; i++) {
        if (!waits[i]->readable())
            continue;
        events[count].events = EPOLLIN;
        events[count++].data = epoll->watched[fds[i]].data;
    }
    return count;
}

int eventfd(unsigned count, int)
{
    auto counter = std::make_shared<Counter>();
    counter->count = count;
    return world->open_fd(std::move(counter));
}

int eventfd_write(int fd, eventfd_t value)
{
    const auto counter = world->object_as<Counter>(fd);
    counter->count += value;
    world->changed(*counter);
    return 0;
}

int eventfd_read(int fd, eventfd_t* value)
{
    const auto counter = world->object_as<Counter>(fd);
    *value = counter->count;
    counter->count = 0;
    if (*value != 0)
        return 0;
    errno = EAGAIN;
    return -1;
}

int sem_init(sem_t* semaphore, int, unsigned value) noexcept
{
    semaphores[semaphore] = std::make_shared<Counter>();
    semaphores[semaphore]->count = value;
    return 0;
}

int sem_destroy(sem_t* semaphore) noexcept
{
    semaphores.erase(semaphore);
    return 0;
}

int sem_post(sem_t* semaphore) noexcept
{
    const auto& counter = semaphores.at(semaphore);
    counter->count++;
    world->changed(*counter);
    return 0;
}

int sem_wait(sem_t* semaphore)
{
    const auto counter = semaphores.at(semaphore);
    Object* object = counter.get();
    world->wait({&object, 1}, never);
    counter->count--;
    return 0;
}

int pthread_create(pthread_t* thread, const pthread_attr_t*, void* (*body)(void*), void* argument) noexcept
{
    Fibre& fibre = world->spawn("thread", world->current_process(), [=] { body(argument); });
    *thread = fibre.number + 1;
    threads[*thread] = &fibre;
    return 0;
}

int pthread_join(pthread_t thread, void**)
{
    Object* object = threads.at(thread)->ended.get();
    world->wait({&object, 1}, never);
    return 0;
}

int pthread_detach(pthread_t) noexcept { return 0; }

#pragma GCC visibility pop
}
