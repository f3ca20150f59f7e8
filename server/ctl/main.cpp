// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ringmixctl: shows and changes what a running ringmixd does. It never starts one.
#include "commands.h"

#include "os/paths.h"

#include <array>
#include <cstdio>
#include <exception>
#include <fmt/format.h>
#include <getopt.h>
#include <stdexcept>

namespace ringmix::ctl {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

struct Command {
    std::string_view name;
    std::size_t words; // behind its name
    std::string (*run)(client::Connection& connection, bool json, Words words);
};

constexpr std::array<Command, 5> commands{
    {{"status", 0, status}, {"clients", 0, clients}, {"gain", 2, gain}, {"mute", 1, mute}, {"unmute", 1, unmute}}};

constexpr const char* usage = R"(Usage: ringmixctl [--name NAME | --socket PATH] [--json] COMMAND
Shows and changes what a running ringmixd does.

Commands:
  status          the device, how far it has played, what went wrong so far
  clients         who plays, in which format, and how it goes
  gain CLIENT DB  sets a client's gain to DB decibels (-inf to 12), or changes it by +DB or
                  -DB; =-DB sets a negative one
  mute CLIENT     silences a client, and
  unmute CLIENT   lets it be heard again at its gain
                  CLIENT is its id or its name as shown by clients; a name means all that have it

Options:
  --name NAME     which instance (default: default)
  --socket PATH   its socket, if not in the usual place
  --json          for programs: one JSON document
  -h, --help      show this help
  -V, --version   show the version

Exit status: 0, 1 on a failure (no server answers, ...), 2 on a usage error.
)";

struct Task {
    client::Address address;
    bool json = false;
    const Command* command = nullptr;
    Words words;
    std::string text; // instead of a command: what to print
};

const Command& command_of(int count, char** words)
{
    if (count == 0)
        throw UsageError("no command given");
    for (const Command& command : commands) {
        if (command.name != words[0])
            continue;
        const auto given = static_cast<std::size_t>(count) - 1;
        if (given < command.words)
            throw UsageError(fmt::format("too few arguments: {} takes {}", command.name, command.words));
        if (given > command.words)
            throw UsageError(fmt::format("too many arguments: '{}' ({} takes {})", words[command.words + 1],
                                         command.name, command.words == 0 ? "none" : std::to_string(command.words)));
        return command;
    }
    throw UsageError(fmt::format("unknown command: '{}'", words[0]));
}

Task parse(int argc, char** argv)
{
    constexpr std::array<option, 6> options{{{"name", required_argument, nullptr, 'n'},
                                             {"socket", required_argument, nullptr, 's'},
                                             {"json", no_argument, nullptr, 'j'},
                                             {"help", no_argument, nullptr, 'h'},
                                             {"version", no_argument, nullptr, 'V'},
                                             {nullptr, 0, nullptr, 0}}};
    Task task;
    bool named = false;
    for (int key; (key = ::getopt_long(argc, argv, "+hV", options.data(), nullptr)) != -1;) {
        switch (key) {
        case 'n':
            task.address.instance = ::optarg;
            named = true;
            if (!os::valid_instance_name(task.address.instance))
                throw UsageError(fmt::format("--name: '{}' is no instance name", ::optarg));
            break;
        case 's':
            task.address.socket = ::optarg;
            if (task.address.socket.empty())
                throw UsageError("--socket: the path is empty");
            break;
        case 'j':
            task.json = true;
            break;
        case 'h':
            task.text = usage;
            return task;
        case 'V':
            task.text = "ringmixctl " RINGMIX_VERSION "\n";
            return task;
        default: // getopt_long() has said what is wrong
            throw UsageError("");
        }
    }
    if (named && !task.address.socket.empty())
        throw UsageError("--name and --socket exclude each other");
    task.command = &command_of(argc - ::optind, argv + ::optind);
    task.words = {argv + ::optind + 1, task.command->words};
    return task;
}

std::string run(Task& task)
{
    if (task.command == nullptr)
        return task.text;
    task.address.role = protocol::role_tool;
    task.address.name = "ringmixctl";
    client::Connection connection(task.address);
    return task.command->run(connection, task.json, task.words);
}

int run_main(int argc, char** argv)
try {
    Task task = parse(argc, argv);
    const std::string out = run(task);
    if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size() || std::fflush(stdout) != 0)
        throw std::runtime_error("cannot write to standard output");
    return 0;
} catch (const UsageError& error) {
    if (*error.what() != '\0')
        fmt::print(stderr, "ringmixctl: {}\n", error.what());
    fmt::print(stderr, "Try `ringmixctl --help`.\n");
    return exit_usage;
} catch (const std::exception& error) {
    fmt::print(stderr, "ringmixctl: {}\n", printable(error.what()));
    return exit_failure;
}

} // namespace
} // namespace ringmix::ctl

int main(int argc, char** argv) { return ringmix::ctl::run_main(argc, argv); }
