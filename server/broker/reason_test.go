package broker

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/netsim"
)

func TestReasonOfAnEnd(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want Reason
		text string
	}{
		{io.EOF, ClientClosed, "Client Closed"},
		{fmt.Errorf("read: %w", io.EOF), ClientClosed, "Client Closed"},
		{fmt.Errorf("%w: broken pipe", netsim.ErrWrite), WriteError, "Write Error"},
		{netsim.ErrWriteDeadline, SlowConsumerWriteDeadline, "Slow Consumer (Write Deadline)"},
		{fmt.Errorf("%w: bad record", netsim.ErrHandshake), TLSHandshakeError, "TLS Handshake Failure"},
		{errors.New("connection reset by peer"), ReadError, "Read Error"},
		{Kicked, Kicked, "Kicked"},
		{reasonCount, reasonCount, "Unknown State"},
	} {
		t.Run(tc.err.Error(), func(t *testing.T) {
			require.Equal(t, tc.want, reasonOf(tc.err))
			require.Equal(t, tc.text, tc.want.String())
		})
	}
}
