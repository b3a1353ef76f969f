package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watched are the server's processes: what they use is read here, because nobody else
// knows when the window begins and ends.
type watched []int

// work is processor time in seconds.
type work struct{ user, system float64 }

// ticks in a second of /proc/PID/stat: the same on every Linux since 2.6.
const ticks = 100

func (w watched) String() string { return fmt.Sprint([]int(w)) }

func (w *watched) Set(text string) error {
	for _, one := range strings.Split(text, ",") {
		pid, err := strconv.Atoi(one)
		if err != nil || pid < 1 {
			return fmt.Errorf("%q is no process id", one)
		}
		*w = append(*w, pid)
	}
	return nil
}

// work adds up what the processes have worked since they were started.
func (w watched) work() (work, error) {
	var sum work
	for _, pid := range w {
		// fields 14 and 15 of proc(5); the first two are not among ours
		numbers, err := w.numbers(pid, "stat", 11, 12)
		if err != nil {
			return work{}, err
		}
		sum.user += float64(numbers[0]) / ticks
		sum.system += float64(numbers[1]) / ticks
	}
	return sum, nil
}

// memory adds up the processes' resident memory in bytes.
func (w watched) memory() (int, error) {
	sum := 0
	for _, pid := range w {
		numbers, err := w.numbers(pid, "statm", 1)
		if err != nil {
			return 0, err
		}
		sum += numbers[0] * os.Getpagesize()
	}
	return sum, nil
}

// numbers reads fields of a file of the process, behind its name if that is there.
func (w watched) numbers(pid int, file string, which ...int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return nil, fmt.Errorf("a watched process has ended: %w", err)
	}
	// the name in parentheses may hold spaces
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	numbers := make([]int, len(which))
	for i, at := range which {
		if at >= len(fields) {
			return nil, fmt.Errorf("/proc/%d/%s reads %q", pid, file, text)
		}
		if numbers[i], err = strconv.Atoi(fields[at]); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// measurement is processor time at the edges of the window.
type measurement struct {
	open    bool
	from    int64
	own     time.Duration
	servers work
}

func (m *measurement) begin(w watched, now int64) (err error) {
	m.open, m.from, m.own = true, now, processorTime()
	m.servers, err = w.work()
	return err
}

func (m *measurement) end(w watched, now int64, into *report) error {
	if now > m.from {
		into.CPU = float64(processorTime()-m.own) / float64(now-m.from)
	}
	after, err := w.work()
	into.User, into.System = after.user-m.servers.user, after.system-m.servers.system
	return err
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
