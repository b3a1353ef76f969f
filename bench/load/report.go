package main

import (
	"math/bits"
	"time"
)

// report is the line of JSON. Times are microseconds; cpu is the generator's own
// use of one core during the window: near 1, it measured itself.
type report struct {
	Connections int     `json:"c"`
	InFlight    int     `json:"k"`
	Seconds     float64 `json:"seconds"`
	Served      int     `json:"served"`  // good answers, those of the warm-up too
	Answers     int     `json:"answers"` // good answers in the window
	Rate        float64 `json:"rate"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	P999        float64 `json:"p999_us"`
	Max         float64 `json:"max_us"`
	Errors      int     `json:"errors"` // answers with the error flag
	Wrong       int     `json:"wrong"`  // answers with another payload
	Late        int     `json:"late"`   // answers nobody waited for any more
	Lost        int     `json:"lost"`   // requests without an answer in time
	Closed      int     `json:"closed"` // connections that ended early
	CPU         float64 `json:"cpu"`
	User        float64 `json:"user"`   // seconds of processor time in the window, of
	System      float64 `json:"system"` // the watched processes together
	Before      int     `json:"before"` // bytes of memory that they had without the
	After       int     `json:"after"`  // connections, and with them; of --kind idle
}

// Buckets are 64 to each power of two: within 1.6 percent of the true value.
const (
	fineBits = 6
	fine     = 1 << fineBits
)

type histogram struct {
	counts [64 * fine]int
	total  int
	max    int64
}

func bucket(ns int64) int {
	if ns < fine {
		return int(ns)
	}
	shift := bits.Len64(uint64(ns)) - fineBits - 1
	return (shift+1)*fine + int(ns>>shift) - fine
}

// value is the middle of a bucket.
func value(index int) int64 {
	if index < fine {
		return int64(index)
	}
	shift := index/fine - 1
	low := int64(index%fine+fine) << shift
	return low + int64(1)<<shift/2
}

func (h *histogram) add(ns int64) {
	h.counts[bucket(max(ns, 0))]++
	h.total++
	h.max = max(h.max, ns)
}

// quantile returns microseconds.
func (h *histogram) quantile(q float64) float64 {
	left := int(q * float64(h.total))
	for index, count := range h.counts {
		left -= count
		if left < 0 {
			return float64(min(value(index), h.max)) / 1e3
		}
	}
	return float64(h.max) / 1e3
}

func (h *histogram) fill(r *report, window time.Duration) {
	r.Seconds = window.Seconds()
	r.Answers = h.total
	r.Rate = float64(h.total) / window.Seconds()
	r.P50, r.P99, r.P999 = h.quantile(0.5), h.quantile(0.99), h.quantile(0.999)
	r.Max = float64(h.max) / 1e3
}
