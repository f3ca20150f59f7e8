// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ringmixd: opens a playback device, lets it run for ever, and hands it to clients.

#include "core/message.h"
#include "os/paths.h"
#include "os/process.h"
#include "ringmix/protocol.h"
#include "server/control.h"
#include "server/log.h"
#include "server/options.h"
#include "server/service_manager.h"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <optional>
#include <stdexcept>
#include <sys/signalfd.h>
#include <unistd.h>

namespace {

using namespace ringmix;
using namespace ringmix::server;

// An autostarted server leaves the program that started it: its first process ends at once, so that
// nobody has a child to wait for. The caller has made a new session already.
void leave_parent()
{
    const pid_t child = fork();
    if (child < 0)
        throw std::runtime_error("cannot fork into the background");
    if (child > 0)
        _exit(0);
}

// Closing stderr tells the program that autostarted this server that it is ready.
void leave_stderr()
{
    log_to_syslog();
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDERR_FILENO);
        close(null);
    }
}

// Signals that end the server, as a descriptor; blocked before any thread exists.
os::Descriptor take_signals()
{
    signal(SIGPIPE, SIG_IGN); // a reader of --output or of the log that has gone
    signal(SIGXFSZ, SIG_IGN); // --output has reached RLIMIT_FSIZE: write() says so
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    return os::Descriptor(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int serve(Control& control, const Options& options, int signals)
{
    const std::string what = control.description();
    fmt::print(stderr, "{}{}\n", protocol::start_ready, what);
    notify_manager("READY=1\nSTATUS=" + what);
    if (options.autostarted)
        leave_stderr();
    const int status = control.run(signals);
    notify_manager("STOPPING=1");
    return status;
}

// Instead of the server that runs, with all that it has. Nothing: there is none.
std::optional<int> replace(Options options, int signals)
{
    std::optional<Inheritance> all = ask_for_inheritance(options.socket);
    if (!all)
        return std::nullopt;
    options.wishes.output = core::text_of(all->head.output);
    options.idle_seconds = all->head.idle_ms < 0 ? -1 : static_cast<double>(all->head.idle_ms) / 1000;
    options.end_seconds = all->head.end_ms < 0 ? -1 : static_cast<double>(all->head.end_ms) / 1000;
    Control control(options, std::move(*all));
    return serve(control, options, signals);
}

int serve(Options options)
{
    const os::Descriptor signals = take_signals();
    os::raise_descriptor_limit();
    if (options.socket.empty())
        options.socket = os::server_socket_path(options.name);
    if (options.replace) {
        if (const std::optional<int> status = replace(options, signals.get()))
            return *status;
        log_line(LogLevel::info, "no server answers on " + options.socket + " that could be replaced: starting");
    }
    os::Descriptor passed = passed_listener();
    const bool activated = static_cast<bool>(passed);
    Control control(options,
                    activated ? Listener::passed(std::move(passed)) : Listener::at(options.socket, options.socket_mode),
                    activated);
    return serve(control, options, signals.get());
}

// For the program that started this server and reads its stderr until that is closed. A failure is told
// by two lines: the errno, and the message.
int serve_starter(const Options& options)
{
    leave_parent();
    try {
        return serve(options);
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}{}\n", protocol::start_errno, error_number(error));
        throw;
    }
}

} // namespace

int main(int argc, char** argv)
{
    try {
        const Options options = parse_options(argc, argv);
        if (options.action == Options::Action::help) {
            std::fputs(usage_text().c_str(), stdout);
            return 0;
        }
        if (options.action == Options::Action::version) {
            std::puts("ringmixd " RINGMIX_VERSION);
            return 0;
        }
        set_log_level(options.log_level);
        return options.autostarted ? serve_starter(options) : serve(options);
    } catch (const UsageError& error) {
        fmt::print(stderr, "ringmixd: {}\nTry 'ringmixd --help'.\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        log_line(LogLevel::error, error.what());
        return 1;
    }
}
