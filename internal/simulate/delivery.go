package simulate

import (
	"net/http"
	"time"
)

// Delivery is one request that the receiver got.
type Delivery struct {
	Number int       // among all requests, from 1
	ID     string    // webhook-id; "" if there is none
	Try    int       // for this id, from 1
	At     time.Time // when its body was read
	Method string
	Path   string
	Header http.Header // must not be modified; nil with ReceiverConfig.Forget
	Body   []byte      // must not be modified; nil with ReceiverConfig.Forget

	// Read from the body; "" if missing.
	JobID, Type, Status string

	// SimpleErr is what is wrong with X-Webhook-Signature, StandardErr with the three
	// headers of Standard Webhooks; nil if they are right or the receiver has no secret.
	SimpleErr, StandardErr error

	Answer Answer // that the receiver gives
}

// Verified reports whether both signatures are right.
func (d Delivery) Verified() bool { return d.SimpleErr == nil && d.StandardErr == nil }

// Answer is how the receiver answers. The zero value is an empty 200, at once.
type Answer struct {
	Status int           // 0: 200
	Header http.Header   // besides those that net/http sets
	Body   string        // of the response
	Delay  time.Duration // before the answer
	Fault  Fault
}

// Fault is what a receiver does wrong besides its status.
type Fault string

// The faults of a receiver.
const (
	NoFault     Fault = ""
	Hang        Fault = "hang"         // no answer until the client leaves
	Reset       Fault = "reset"        // the connection is reset (RST) instead of an answer
	Close       Fault = "close"        // the connection is closed instead of an answer
	DripHeader  Fault = "drip header"  // a byte of an endless header every Delay (10 ms), until the client leaves
	DripBody    Fault = "drip body"    // status and headers at once, then a byte of the body every Delay (10 ms), forever
	EndlessBody Fault = "endless body" // status and headers, then bytes as fast as they are read
	ShortBody   Fault = "short body"   // more Content-Length than bytes
	Garbage     Fault = "garbage"      // bytes that are not HTTP
)
