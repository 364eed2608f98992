// Command memberlist runs whole clusters of hashicorp/memberlist in this process, on sockets of 127.0.0.1, and measures
// what the cases in bench/cases measure of tattler. The last line of its output is JSON with the same names.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

type options struct {
	name     string
	nodes    int
	parallel int
	kill     int
	repeats  int
	pushes   int
	load     string
	isPacked bool
	fault    string
	seconds  float64
	limit    time.Duration
	seed     int64
}

// report holds figures by name; problems says what did not come about, as in bench/scenario.ts.
type report map[string]any

var cases = map[string]func(options) (report, error){
	"cluster": cluster,
	"steady":  steady,
	"detect":  detect,
	"storm":   storm,
	"queue":   queue,
}

func main() {
	o := parse()
	run, found := cases[o.name]
	if !found {
		fail(2, fmt.Errorf("there is no case %q", o.name))
	}
	figures, err := run(o)
	if err != nil {
		fail(1, err)
	}
	figures["case"] = o.name
	figures["peer"] = "memberlist"
	figures["version"] = version()
	line, err := json.Marshal(figures)
	if err != nil {
		fail(1, err)
	}
	fmt.Println(string(line))
}

func parse() options {
	var o options
	var limitSeconds float64
	flag.StringVar(&o.name, "case", "cluster", "cluster, steady, detect, storm or queue")
	flag.IntVar(&o.nodes, "nodes", 100, "nodes in this process")
	flag.IntVar(&o.parallel, "parallel", 64, "joins under way at the same time")
	flag.IntVar(&o.kill, "kill", 1, "detect: nodes that the fault befalls at once")
	flag.IntVar(&o.repeats, "repeats", 5, "detect: how often")
	flag.StringVar(&o.fault, "fault", "crash", "detect: crash, silent or leave")
	flag.Float64Var(&o.seconds, "seconds", 10, "to stay (cluster), measure (steady, queue) or send (storm)")
	flag.Float64Var(&limitSeconds, "limit", 120, "longest wait for a cluster to converge, in seconds")
	flag.Int64Var(&o.seed, "seed", 1, "which nodes are struck, and when")
	flag.IntVar(&o.pushes, "pushes", 3, "queue: pushes before each fill")
	flag.StringVar(&o.load, "load", "suspects", "queue: suspects or alives")
	flag.BoolVar(&o.isPacked, "packed", false, "queue: encode each message and pack each datagram, too")
	flag.Parse()
	o.limit = time.Duration(limitSeconds * float64(time.Second))
	return o
}

// version is that of memberlist in go.mod.
func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/hashicorp/memberlist" {
			return module.Version
		}
	}
	return "unknown"
}

func fail(code int, err error) {
	fmt.Fprintln(os.Stderr, "memberlist:", err)
	os.Exit(code)
}
