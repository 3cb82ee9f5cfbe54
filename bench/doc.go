// Command bench measures Ringback beside its peers: one program is provider, receiver and
// load generator for all contenders, on loopback, and starts and ends each contender as its
// own process group.
//
// Absolute times mean nothing on a shared machine. So the contenders take turns, round
// after round, and what counts is the ratio of two medians of one run.
//
// A contender is an API that replies 202 to POST /api/generate, and whatever works behind
// it; contender.go has the setup that it gets, and the folders beside this file have the
// peers themselves. A workload is a file measure_*.go.
package main
