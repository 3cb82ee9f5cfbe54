//go:build profile

package main

import (
	"log"
	"net/http"
	_ "net/http/pprof" //nolint:gosec // only in builds with this tag, on an address that the user has named
	"os"
	"runtime"
)

// A build with -tags profile serves net/http/pprof on PROFILE_ADDR, for performance
// analysis; `bench --profile` uses it. No release has it.
func init() {
	addr := os.Getenv("PROFILE_ADDR")
	if addr == "" {
		return
	}
	runtime.SetMutexProfileFraction(10)
	runtime.SetBlockProfileRate(10_000)
	go func() { log.Print(http.ListenAndServe(addr, nil)) }() //nolint:gosec // it serves its own developer
}
