// Package e2e_test tests Ringback from outside: programs as separate processes, HTTP over
// loopback. From the inside it uses the simulated provider and receiver, and the store: to
// make a data directory of a million rows, and to inspect what a power loss would leave.
//
//	server_test.go     the real program: built, started, killed, started again
//	world_test.go      what is around it: a provider, a receiver, clients
//	contract_test.go   the simple contract, to the letter
//	openai_test.go     the same way through OpenAI's protocol
//	fsync_linux_test.go  a 202 means fsync: what strace sees of the real program
//	kill_test.go       nothing is lost, however often it is killed
//	drain_test.go      SIGTERM
//	cluster_unix_test.go  several nodes on one PostgreSQL
//	chaos_unix_test.go    they are killed and frozen; traffic_unix_test.go is the load
//	rolling_unix_test.go  they are restarted one by one
//	outage_unix_test.go   PostgreSQL is away; clock_unix_test.go  clocks are wrong
//	viewer_unix_test.go   who watches a job, over any transport, however often he is cut off
//	live_cuts_unix_test.go  cut anywhere, and the server killed; live_slow_unix_test.go  who
//	                      reads no more, or vanishes; live_end_unix_test.go  cancel and leave
//	live_unix_test.go     the node that runs the job dies, or is frozen
//	live_browser_unix_test.go  pages in Chromium; live_push_unix_test.go  stream_to and progress
//	faults_test.go     what an operator may get wrong, and what may be broken
//	disk_test.go       a full disk
//	million_test.go    a start on very many jobs, and work beside them
//	siege_test.go      attacks from all sides on a server in 512 MiB; siege_api_test.go,
//	                   siege_servers_test.go and siege_readers_test.go are the attacks,
//	                   siege_honest_test.go those who must not notice them
//	large_jobs_test.go honest callers of large jobs; limit_test.go  a limit of memory
//	moved_test.go      a data directory that is moved while the server runs
//	provider_answers_test.go  what real providers answer, byte for byte
//	receivers_test.go  the example receivers; seed_test.go  receivers as web teams have them
//	submit_test.go     the example clients; local_model_test.go  the recipe of a local model
//
// RINGBACK_LONG=1 makes of seconds of kills minutes, and of thousands of rows a
// million.
package e2e_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// scratch holds what several tests share: the programs that they build. Any user may enter
// it.
var scratch string

// long enables the tests that take minutes.
var long = os.Getenv("RINGBACK_LONG") != ""

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ringback-e2e-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}
