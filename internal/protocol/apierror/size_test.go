package apierror

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnErrorThatIsTooLargeToBeOneCostsLittle(t *testing.T) {
	t.Parallel()
	const n = 2 << 20
	for name, body := range map[string]string{
		"a list":          `{"detail":[` + strings.Repeat(`0,`, n) + `0]}`,
		"nested lists":    `{"error":{"code":"x","detail":` + strings.Repeat(`[`, 9000) + strings.Repeat(`]`, 9000) + `}}`,
		"nested objects":  `{"error":{"code":"x","message":` + strings.Repeat(`{"msg":`, 9000) + `"a"` + strings.Repeat(`}`, 9000) + `}}`,
		"details":         `{"error":{"message":"m","details":[` + strings.Repeat(`{},`, n) + `{}]}}`,
		"errors by names": `{"errors":{` + strings.Repeat(`"a":"b",`, n) + `"a":"b"}}`,
	} {
		start := time.Now()
		c, _ := Read(http.StatusOK, []byte(body))
		if took := time.Since(start); took > 10*time.Second || len(c.Message) > 64<<10 {
			t.Errorf("%s: took %s, message of %d bytes", name, took, len(c.Message))
		}
	}
}
