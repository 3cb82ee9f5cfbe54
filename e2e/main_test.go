// Package e2e_test looks at Ringback from outside: programs as processes of their
// own, HTTP over loopback, nothing of the inside but the public package.
package e2e_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
