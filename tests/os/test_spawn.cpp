// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Programs started by spawn_detached(): here /bin/sh with scripts.

#include "support.h"

#include "os/process.h"
#include "os/timer.h"

#include <csignal>
#include <doctest/doctest.h>

using namespace ringmix::os;
using namespace ringmix::test;

namespace {

SpawnResult run_script(const std::string& script, int timeout_ms = patience_ms,
                       const std::vector<std::string>& environment = {}, const std::string& argument = "")
{
    return spawn_detached({"/bin/sh", "-c", script, argument.empty() ? "sh" : argument}, environment, timeout_ms);
}

// Asked for in $(...): a redirected command would show the shell's own redirections.
const std::string show_standard_streams = "streams=\"$(readlink /proc/$$/fd/0) $(readlink /proc/$$/fd/1)\"\n"
                                          "echo $streams >&2\n";

bool has_children()
{
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// The signals in line `name` of /proc/PID/status, without those that the C library keeps to itself.
unsigned long signals_in(const std::string& status, const std::string& name)
{
    const auto line = status.find(name + ":");
    REQUIRE(line != std::string::npos);
    return std::stoul(status.substr(line + name.size() + 1), nullptr, 16) & 0x7fffffff;
}

// Two FIFOs through which a test and a process that it cannot wait for meet.
struct Meeting {
    Meeting()
    {
        REQUIRE(::mkfifo((directory / "go").c_str(), 0600) == 0);
        REQUIRE(::mkfifo((directory / "answer").c_str(), 0600) == 0);
    }
    // Lets the process go on (waits for it to be there), and reads all that it answers.
    std::string proceed()
    {
        Descriptor(::open((directory / "go").c_str(), O_WRONLY | O_CLOEXEC)).reset();
        const Descriptor answer(::open((directory / "answer").c_str(), O_RDONLY | O_CLOEXEC));
        char text[64];
        std::string all;
        for (ssize_t bytes; (bytes = ::read(answer.get(), text, sizeof(text))) > 0;)
            all.append(text, static_cast<std::size_t>(bytes));
        return all;
    }
    TemporaryDirectory directory;
};

} // namespace

TEST_CASE("a program that daemonises")
{
    Meeting meeting;
    const auto result = run_script("echo starting >&2\n"
                                   "(exec 2>&-; read nothing < \"$0/go\"; echo alive > \"$0/answer\") &\n"
                                   "exit 0",
                                   patience_ms, {}, meeting.directory.path());
    CHECK(result.diagnostics == "starting\n");
    CHECK_FALSE(result.timed_out);
    CHECK_FALSE(result.exited_badly);
    CHECK_FALSE(has_children());
    CHECK(meeting.proceed() == "alive\n");
}

TEST_CASE("a daemon that keeps stderr open is waited for, then left alone")
{
    Meeting meeting;
    const auto result = run_script("(trap '' PIPE; read nothing < \"$0/go\"; echo alive > \"$0/answer\") & exit 0", 300,
                                   {}, meeting.directory.path());
    CHECK(result.timed_out);
    REQUIRE_FALSE(result.exited_badly); // killed: there would be nobody to meet
    CHECK(meeting.proceed() == "alive\n");
}

TEST_CASE("a program that fails says why")
{
    const auto result = run_script("echo no such device >&2; exit 3");
    CHECK(result.diagnostics == "no such device\n");
    CHECK(result.exited_badly);
    CHECK_FALSE(result.timed_out);
    CHECK_FALSE(has_children());
}

TEST_CASE("a program that is killed has failed")
{
    CHECK(run_script("kill -9 $$").exited_badly);
    CHECK_FALSE(has_children());
}

TEST_CASE("a program that talks too much is cut, not blocked")
{
    const auto result = run_script("head -c 200000 /dev/zero >&2; exit 0");
    CHECK(result.diagnostics.size() == 4096);
    CHECK_FALSE(result.timed_out);
    CHECK_FALSE(result.exited_badly);
}

TEST_CASE("a program that hangs is ended when the time is up")
{
    for (const char* script : {"echo waiting >&2; sleep 1000", "exec sleep 1000", "exec 2>&-; sleep 1000"}) {
        const auto before = monotonic_ns();
        const auto result = run_script(script, 50);
        CHECK(result.timed_out);
        CHECK(monotonic_ns() - before < std::int64_t{patience_ms} * 1'000'000);
        CHECK_FALSE(has_children());
    }
}

TEST_CASE("a program that does not exist is an error that names it")
{
    const auto error = error_of([] { spawn_detached({"/nonexistent/ringmixd"}, {}, patience_ms); });
    CHECK(error.code().value() == ENOENT);
    CHECK(mentions(error, "/nonexistent/ringmixd"));
    CHECK(error_of([] { spawn_detached({}, {}, patience_ms); }).code().value() == EINVAL);
    CHECK_FALSE(has_children());
}

TEST_CASE("programs are looked up in PATH")
{
    const auto result = spawn_detached({"sh", "-c", "echo found >&2"}, {}, patience_ms);
    CHECK(result.diagnostics == "found\n");
}

TEST_CASE("the environment is the host's with additions")
{
    const Variable kept("RINGMIX_TEST_KEPT", "kept");
    const Variable replaced("RINGMIX_TEST_REPLACED", "old");
    const auto result = run_script("echo $RINGMIX_TEST_KEPT $RINGMIX_TEST_REPLACED $RINGMIX_TEST_NEW >&2", patience_ms,
                                   {"RINGMIX_TEST_REPLACED=replaced", "RINGMIX_TEST_NEW=new"});
    CHECK(result.diagnostics == "kept replaced new\n");
}

TEST_CASE("no descriptor but the three is inherited")
{
    const Pipe pipe;
    const Descriptor careless(::fcntl(pipe.writing.get(), F_DUPFD, 50)); // without close-on-exec
    REQUIRE(careless.get() >= 50);
    REQUIRE_FALSE(closes_on_exec(careless.get()));
    const auto result = run_script(
        show_standard_streams + "for fd in 3 4 5 6 7 8 9 $0; do [ -e /proc/$$/fd/$fd ] && echo has $fd >&2; done\n"
                                "exit 0",
        patience_ms, {}, std::to_string(careless.get()));
    CHECK(result.diagnostics == "/dev/null /dev/null\n");
}

TEST_CASE("a host without standard streams can start programs too")
{
    const int bad = in_child([] {
        for (const int fd : {0, 1, 2})
            ::close(fd);
        return run_script(show_standard_streams).diagnostics == "/dev/null /dev/null\n" ? 0 : 1;
    });
    CHECK(bad == 0);
}

TEST_CASE("the child has its own session and default signals")
{
    sigset_t term, before;
    ::sigemptyset(&term);
    ::sigaddset(&term, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &term, &before);
    const auto handler = std::signal(SIGUSR2, SIG_IGN);
    const auto result = run_script("echo $$ >&2; cut -d ' ' -f 6 /proc/$$/stat >&2\n"
                                   "grep -E 'Sig(Blk|Ign)' /proc/self/status >&2");
    std::signal(SIGUSR2, handler);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);

    const std::string& text = result.diagnostics;
    const auto first = text.find('\n');
    REQUIRE(first != std::string::npos);
    CHECK(text.substr(first + 1, first) == text.substr(0, first)); // the session's leader
    CHECK(signals_in(text, "SigBlk") == 0);
    CHECK(signals_in(text, "SigIgn") == 0);
}

TEST_CASE("the host's own children are left to it")
{
    const pid_t own = ::fork();
    if (own == 0)
        ::_exit(7);
    CHECK_FALSE(run_script("exit 0").exited_badly);
    int status = 0;
    CHECK(::waitpid(own, &status, 0) == own);
    CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("a host that ignores SIGCHLD takes the exit status away, nothing more")
{
    const auto handler = std::signal(SIGCHLD, SIG_IGN);
    const auto result = run_script("echo text >&2; exit 1");
    std::signal(SIGCHLD, handler);
    CHECK(result.diagnostics == "text\n");
    CHECK_FALSE(result.timed_out);
    CHECK_FALSE(result.exited_badly);
}
