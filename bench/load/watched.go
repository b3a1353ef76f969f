package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// watched are the server's processes: what they work in the window is read here,
// because nobody else knows when it begins and ends.
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

// read adds up what the processes have used since they were started.
func (w watched) read() (work, error) {
	var sum work
	for _, pid := range w {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return work{}, fmt.Errorf("a watched process has ended: %w", err)
		}
		// the name in parentheses may hold spaces; the numbers follow it
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 13 {
			return work{}, fmt.Errorf("/proc/%d/stat reads %q", pid, text)
		}
		user, err := strconv.Atoi(fields[11])
		if err != nil {
			return work{}, err
		}
		system, err := strconv.Atoi(fields[12])
		if err != nil {
			return work{}, err
		}
		sum.user += float64(user) / ticks
		sum.system += float64(system) / ticks
	}
	return sum, nil
}
