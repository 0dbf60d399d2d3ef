package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListExempt(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, listExempt(&out, []string{"github.com/lockstepmq/lockstep/storage"}))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.NotEmpty(t, lines)
	for _, line := range lines {
		file, reason, ok := strings.Cut(line, ": ")
		require.True(t, ok, line)
		assert.Contains(t, file, "storage/os", "only the real disk is exempt")
		assert.NotEmpty(t, reason)
	}
}

func TestListExemptLeavesProgramsOut(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, listExempt(&out, []string{"github.com/lockstepmq/lockstep/checks/cmd/lockstep-lint"}))
	assert.Empty(t, out.String())
}
