// Command bench measures Ringback beside its peers: one program plays provider,
// receiver and load generator for every contender alike, on loopback, and starts
// and ends each contender as a process group of its own.
//
// Absolute times mean nothing on a shared machine. So the contenders take turns,
// round after round, and what counts is the ratio of two medians of one run.
//
// A contender is a door that answers POST /api/generate with 202, and whatever
// works behind it; see contender.go for what it is told, and the folders beside
// this file for the peers themselves. A workload is a file measure_*.go.
package main
