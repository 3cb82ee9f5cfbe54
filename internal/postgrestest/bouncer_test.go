//go:build unix

package postgrestest

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestABouncerPoolsByTransaction(t *testing.T) {
	url := Bouncer(t, Database(t))
	client := connectPlainly(t, url)
	before := ask(t, client, backend)
	beginOnTheSameConnection(t, url, before)
	if after := ask(t, client, backend); after == before {
		t.Errorf("a client between transactions kept connection %s", before)
	}
}

func TestABouncerWithoutStatementsForgetsThem(t *testing.T) {
	url := BouncerWithoutStatements(t, Database(t))
	client := connectPlainly(t, url)
	_, err := client.Prepare(t.Context(), "one", "select 1::text")
	must(t, err)
	beginOnTheSameConnection(t, url, ask(t, client, backend))
	var unknown *pgconn.PgError
	if _, err := client.Exec(t.Context(), "one", pgx.QueryExecModeCacheStatement); !errors.As(err, &unknown) || unknown.Code != "26000" {
		t.Errorf("execute on another connection: got %v, want: prepared statement does not exist", err)
	}
}

func TestABouncerOutlivesARestartOfItsServer(t *testing.T) {
	s := Start(t)
	url := Bouncer(t, s.Database())
	before := ask(t, connectPlainly(t, url), backend)
	s.Restart()
	if after := ask(t, connectPlainly(t, url), backend); after == before {
		t.Errorf("connection %s is from before the restart", after)
	}
}

const backend = "select pg_backend_pid()::text"

// connectPlainly connects for queries without prepared statements.
func connectPlainly(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	return connect(t, url+"&default_query_exec_mode=simple_protocol")
}

// beginOnTheSameConnection holds the connection that has just served a client in a
// transaction: the pool gives out the one that was used last.
func beginOnTheSameConnection(t *testing.T, url, before string) {
	t.Helper()
	other := connectPlainly(t, url)
	execute(t, other, "begin")
	if got := ask(t, other, backend); got != before {
		t.Fatalf("the other client got connection %s, want %s", got, before)
	}
}
