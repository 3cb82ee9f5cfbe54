package ringback

// DeliveryStatus is the state of a delivery.
type DeliveryStatus string

// The states of a delivery. Delivered is final. Only a redelivery that succeeds leads out
// of Dead.
const (
	DeliveryPending   DeliveryStatus = "pending"
	DeliveryDelivered DeliveryStatus = "delivered"
	DeliveryDead      DeliveryStatus = "dead"
)

// DeliveryStatuses lists every state.
var DeliveryStatuses = []DeliveryStatus{DeliveryPending, DeliveryDelivered, DeliveryDead}

// NoDelivery selects, in a list of jobs, those without a webhook.
const NoDelivery = "none"

// Webhook summarizes a job's delivery.
type Webhook struct {
	URL            string         `json:"url"`
	Status         DeliveryStatus `json:"status"`
	Tries          int            `json:"tries"`
	LastStatusCode int            `json:"last_status_code,omitempty"`
	NextTryAt      Time           `json:"next_try_at,omitzero"`
}

// Delivery is one webhook message to one URL, durable, with its own tries.
type Delivery struct {
	// ID is the webhook-id that every try carries.
	ID     string         `json:"delivery_id"`
	JobID  string         `json:"job_id"`
	Event  EventType      `json:"event"`
	URL    string         `json:"url"`
	Status DeliveryStatus `json:"status"`
	// CreatedAt is when the event happened.
	CreatedAt Time `json:"created_at"`
	NextTryAt Time `json:"next_try_at,omitzero"`
	EndedAt   Time `json:"ended_at,omitzero"`
	// WebhookBody is the form in which it will be sent next, or was sent last.
	WebhookBody WebhookBody `json:"webhook_body,omitempty"`
	// Redelivering is true while a redelivery is waiting or being sent.
	Redelivering bool `json:"redelivering,omitempty"`
	// HostHold is set while the host that it will be sent to is held.
	HostHold *HostHold `json:"host_hold,omitempty"`
	// Reason is why a dead delivery died; Error says the same in one sentence.
	Reason DeadReason `json:"reason,omitempty"`
	Error  string     `json:"error,omitempty"`
	// LastStatusCode is the receiver's last answer, 0 if there was none.
	LastStatusCode int `json:"last_status_code,omitempty"`
	// LastError is the error class of the last try.
	LastError TryError `json:"last_error,omitempty"`
	Tries     []Try    `json:"tries"`
}

// HostHold means that only redeliveries and probes are sent to a receiver's host.
type HostHold struct {
	// Reason is receiver_failing or receiver_refused.
	Reason string `json:"reason"`
	// Until is when a probe will check whether the host has recovered.
	Until Time `json:"until"`
}

// Redelivery describes how a webhook is sent once more. The zero value sends it to the same
// URL, in the same form.
type Redelivery struct {
	// URL sends it elsewhere, as a new delivery.
	URL string `json:"url,omitempty"`
	// WebhookBody sends it in another form.
	WebhookBody WebhookBody `json:"webhook_body,omitempty"`
}

// DeadReason is why a delivery is a dead letter.
type DeadReason string

// The reasons.
const (
	DeadTries    DeadReason = "tries"     // all tries of the schedule failed
	DeadRefused  DeadReason = "refused"   // the receiver does not want it (410), or its address is blocked
	DeadTooLarge DeadReason = "too_large" // the receiver answered 413 even to the smallest form
	DeadExpired  DeadReason = "expired"   // its time ran out before a try succeeded
	DeadErased   DeadReason = "erased"    // its bytes were deleted before a try succeeded
)

// Try is one POST of a delivery.
type Try struct {
	Number int  `json:"try"`
	At     Time `json:"at"`
	// Trigger is why it was sent.
	Trigger TryTrigger `json:"trigger"`
	// WebhookBody is the form in which it was sent.
	WebhookBody WebhookBody `json:"webhook_body,omitempty"`
	// StatusCode is the receiver's answer, 0 if there was none.
	StatusCode int   `json:"status_code,omitempty"`
	DurationMS int64 `json:"duration_ms"`
	// Error is the class of what went wrong, "" if nothing did.
	Error TryError `json:"error,omitempty"`
	// Response is the first 1 KiB of the receiver's answer.
	Response string `json:"response,omitempty"`
}

// TryTrigger is why a try was sent.
type TryTrigger string

// The triggers.
const (
	TryScheduled TryTrigger = "schedule" // its time had come
	TryManual    TryTrigger = "manual"   // a redelivery
	TryProbe     TryTrigger = "probe"    // to check whether the hold of its host can end
)

// TryTriggers lists every trigger.
var TryTriggers = []TryTrigger{TryScheduled, TryManual, TryProbe}

// TryError is the class of what went wrong with a try.
type TryError string

// The classes.
const (
	TryDNS      TryError = "dns"      // the name was not found, or not in time
	TryConnect  TryError = "connect"  // no connection: no route, network down
	TryRefused  TryError = "refused"  // nothing is listening on the port
	TryReset    TryError = "reset"    // closed before it answered
	TryTLS      TryError = "tls"      // no TLS, or an invalid certificate
	TryTimeout  TryError = "timeout"  // no answer in time
	TryRedirect TryError = "redirect" // a 3xx, which is not followed
	TryStatus   TryError = "status"   // any other answer than 2xx, or one that is not HTTP
	TryBlocked  TryError = "blocked"  // the URL or its address is closed to webhooks
	TryInternal TryError = "internal" // an error of ours prevented sending it
	TryUnknown  TryError = "unknown"  // the process died during the try
)

// TryErrors lists every class.
var TryErrors = []TryError{
	TryDNS, TryConnect, TryRefused, TryReset, TryTLS, TryTimeout, TryRedirect, TryStatus, TryBlocked, TryInternal, TryUnknown,
}
