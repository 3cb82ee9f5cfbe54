package provider

import (
	"errors"
	"fmt"
)

// maxNesting is how deep arrays and objects of an answer may be nested. The answer will be
// part of other JSON, which encoding/json neither writes nor reads beyond 10,000 levels: a
// job with a deeper answer could never be shown.
const maxNesting = 5000

var errTooDeep = errors.New("the answer is nested too deep")

// These bound the names in an event, or in an answer that arrives as a whole. Objects are
// taken apart and put together again name by name, which costs many times a short member's
// size in bytes.
const (
	maxNames   = 400_000
	bytesAName = 64 // of the message, as reserve charges it
)

var errTooManyNames = fmt.Errorf("there are more than %d names in it", maxNames)
