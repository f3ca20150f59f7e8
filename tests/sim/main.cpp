// SPDX-License-Identifier: LGPL-2.1-or-later
//
// sim_run: plays seeds. Each in a process of its own, so that a seed is the same run whatever came before.

#include "tests/sim/scenario.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <getopt.h>
#include <map>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace ringmix::sim;

struct Arguments {
    RunOptions run;
    std::uint64_t seeds = 1;
    unsigned jobs = 1;
    double real_seconds = 0; // begin no new seed after this; 0: no limit
    double days = 0;         // nor when so much has been played
    bool keep_going = false;
};

int usage(const char* name, int status)
{
    std::fprintf(
        status == 0 ? stdout : stderr,
        "usage: %s [--seed N] [--seeds COUNT | --days DAYS] [--seconds VIRTUAL] [--for REAL_SECONDS] [--jobs N]\n"
        "          [--exact] [--rates] [--kind MISFORTUNE] [--keep-going] [--verbose]\n"
        "Plays COUNT seeds from N on (default 1, 1), each for VIRTUAL seconds (20) of virtual time, or less if\n"
        "that is more work than with 8 stereo programs at 8000 Hz (--exact: not less). Ends at the first\n"
        "failure. --days: as many seeds as make so many days of sound. --for: as many as fit REAL_SECONDS, at most.\n"
        "--rates: in all runs, and not in one of four only, a third of the programs play at other rates than the "
        "device.\n",
        name);
    return status;
}

bool parse(int argc, char** argv, Arguments& arguments)
{
    static const option options[] = {
        {"seed", 1, nullptr, 's'},    {"seeds", 1, nullptr, 'n'}, {"seconds", 1, nullptr, 't'},
        {"for", 1, nullptr, 'f'},     {"jobs", 1, nullptr, 'j'},  {"keep-going", 0, nullptr, 'k'},
        {"verbose", 0, nullptr, 'v'}, {"exact", 0, nullptr, 'e'}, {"kind", 1, nullptr, 'K'},
        {"rates", 0, nullptr, 'r'},   {"days", 1, nullptr, 'd'},  {"help", 0, nullptr, 'h'},
        {nullptr, 0, nullptr, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
        switch (c) {
        case 's':
            arguments.run.seed = std::strtoull(optarg, nullptr, 0);
            break;
        case 'n':
            arguments.seeds = std::strtoull(optarg, nullptr, 0);
            break;
        case 't':
            arguments.run.seconds = std::atof(optarg);
            break;
        case 'f':
            arguments.real_seconds = std::atof(optarg);
            arguments.seeds = ~std::uint64_t{0};
            break;
        case 'd':
            arguments.days = std::atof(optarg);
            arguments.seeds = ~std::uint64_t{0};
            break;
        case 'j':
            arguments.jobs = static_cast<unsigned>(std::max(std::atoi(optarg), 1));
            break;
        case 'k':
            arguments.keep_going = true;
            break;
        case 'K':
            arguments.run.kind = optarg;
            break;
        case 'e':
            arguments.run.exact = true;
            break;
        case 'r':
            arguments.run.other_rates = true;
            break;
        case 'v':
            arguments.run.verbose = true;
            break;
        case 'h':
            std::exit(usage(argv[0], 0));
        default:
            return false;
        }
    }
    return optind == argc;
}

double now()
{
    using namespace std::chrono;
    return duration<double>(steady_clock::now().time_since_epoch()).count();
}

class Runs {
public:
    explicit Runs(const Arguments& arguments) : arguments_(arguments), began_(now()) {}

    int run()
    {
        std::uint64_t next = 0;
        const auto more = [&] {
            return next < arguments_.seeds && (failed_ == 0 || arguments_.keep_going) &&
                   (arguments_.real_seconds == 0 || now() - began_ < arguments_.real_seconds) &&
                   (arguments_.days == 0 || days() < arguments_.days);
        };
        while (more() || running_ != 0) {
            while (running_ < arguments_.jobs && more())
                begin(arguments_.run.seed + next++);
            finish_one();
        }
        rusage used{};
        getrusage(RUSAGE_CHILDREN, &used);
        const double processor = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                                 static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
        fmt::print("{} seeds from {} on, {:.0f} s ({:.2f} days) of sound in {:.1f} s ({:.0f} times real time on one "
                   "processor), {} failed; {} switches\n{}\n",
                   done_, arguments_.run.seed, total_.seconds, days(), now() - began_, total_.seconds / processor,
                   failed_, total_.switches, total_.counts.text());
        return failed_ != 0 ? 1 : 0;
    }

private:
    double days() const { return total_.seconds / 86400; } // played

    // The words that play a seed again.
    std::string again(std::uint64_t seed) const
    {
        const RunOptions& run = arguments_.run;
        return fmt::format("--seed {} --seconds {}{}{}{}", seed, run.seconds, run.exact ? " --exact" : "",
                           run.other_rates ? " --rates" : "",
                           run.kind.empty() ? "" : fmt::format(" --kind \"{}\"", run.kind));
    }

    void begin(std::uint64_t seed)
    {
        int pipe_fds[2];
        if (pipe(pipe_fds) < 0)
            std::abort();
        std::fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            close(pipe_fds[0]);
            constexpr rlim_t longest_s = 300; // of processor time: one that goes on for ever has failed
            const rlimit limit{longest_s, longest_s};
            setrlimit(RLIMIT_CPU, &limit);
            RunOptions options = arguments_.run;
            options.seed = seed;
            const RunResult result = run_scenario(options);
            std::fflush(stdout);
            const ssize_t written = write(pipe_fds[1], &result, sizeof result);
            _exit(written == sizeof result ? 0 : 1);
        }
        close(pipe_fds[1]);
        results_[child] = {pipe_fds[0], seed};
        running_++;
    }

    void finish_one()
    {
        int status = 0;
        const pid_t child = waitpid(-1, &status, 0);
        const auto found = results_.find(child);
        if (found == results_.end())
            return;
        RunResult result;
        const bool whole = read(found->second.fd, &result, sizeof result) == sizeof result;
        close(found->second.fd);
        if (status != 0 || !whole) {
            failed_++;
            fmt::print("FAILED: sim_run {}{}\n", again(found->second.seed),
                       WIFSIGNALED(status) ? fmt::format(" (signal {})", WTERMSIG(status)) : "");
            std::fflush(stdout);
        } else {
            total_.counts.add(result.counts);
            total_.seconds += result.seconds;
            total_.switches += result.switches;
        }
        done_++;
        running_--;
        results_.erase(found);
    }

    struct Running {
        int fd;
        std::uint64_t seed;
    };
    Arguments arguments_;
    double began_;
    std::map<pid_t, Running> results_;
    RunResult total_;
    unsigned running_ = 0;
    std::uint64_t done_ = 0, failed_ = 0;
};

} // namespace

int main(int argc, char** argv)
{
    Arguments arguments;
    if (!parse(argc, argv, arguments))
        return usage(argv[0], 2);
    return Runs(arguments).run();
}
