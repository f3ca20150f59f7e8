// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/process.h"

#include "support.h"

#include <csignal>
#include <doctest/doctest.h>
#include <sched.h>
#include <string_view>
#include <sys/prctl.h>
#include <thread>

using namespace ringmix::os;
using namespace ringmix::test;

TEST_CASE("names of processes")
{
    CHECK_FALSE(program_name().empty());
    CHECK(program_name() == process_name(::getpid()));
    CHECK(process_name(-1).empty());
    CHECK(process_name(0).empty());
    CHECK(process_name(0x7fffffff).empty());
}

TEST_CASE("the death of a process can be awaited")
{
    Pipe life;
    const pid_t pid = ::fork();
    if (pid == 0) {
        life.writing.reset();
        char end;
        ::_exit(::read(life.reading.get(), &end, 1) == 0 ? 0 : 1);
    }
    const Descriptor watch = watch_process(pid);
    REQUIRE(watch);
    CHECK(closes_on_exec(watch.get()));
    CHECK_FALSE(readable(watch.get(), 0));
    life.writing.reset();
    CHECK(readable(watch.get(), patience_ms));
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
    CHECK_FALSE(watch_process(pid));
}

TEST_CASE("what is no process cannot be watched")
{
    CHECK_FALSE(watch_process(-1));
    CHECK_FALSE(watch_process(0));
    CHECK_FALSE(watch_process(0x7fffffff));
}

TEST_CASE("a thread is named, long names are cut")
{
    std::string name;
    std::thread([&] {
        char buffer[16] = {};
        name_thread("ringmix-a-very-long-name");
        ::prctl(PR_GET_NAME, buffer);
        name = buffer;
    }).join();
    CHECK(name == "ringmix-a-very-");
}

TEST_CASE("realtime scheduling is granted to one thread, or refused with an errno")
{
    bool granted = false;
    int policy = -1, error = 0;
    std::thread([&] {
        granted = become_realtime(1);
        error = errno;
        policy = ::sched_getscheduler(0);
    }).join();
    if (granted)
        CHECK((policy & ~SCHED_RESET_ON_FORK) == SCHED_FIFO);
    else
        CHECK(error == EPERM);
    CHECK((::sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) != SCHED_FIFO);
    CHECK_FALSE(become_realtime(1000));
    CHECK(errno == EINVAL);
}
