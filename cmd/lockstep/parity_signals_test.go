package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// namesake runs a process that is called like the server, and returns its id.
func namesake(t *testing.T) int {
	cat, err := exec.LookPath("cat")
	require.NoError(t, err)
	text, err := os.ReadFile(cat)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), processName)
	require.NoError(t, os.WriteFile(path, text, 0o700))
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = in.Write([]byte("x")) // it runs under its name once it answers
	require.NoError(t, err)
	_, err = io.ReadFull(out, make([]byte, 1))
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// TestResolve: who is meant by the target of --signal.
func TestResolve(t *testing.T) {
	pid, other := namesake(t), namesake(t)
	file := filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o600))
	for _, target := range []string{strconv.Itoa(pid), file} {
		got, err := resolve(target)
		require.NoError(t, err)
		require.Equal(t, []int{pid}, got)
	}
	got, err := resolve(strconv.Itoa(pid) + "*")
	require.NoError(t, err)
	require.Contains(t, got, pid)
	got, err = resolve("*")
	require.NoError(t, err)
	require.Subset(t, got, []int{pid, other})
	require.NotContains(t, got, os.Getpid())

	_, err = resolve("")
	require.ErrorContains(t, err, "multiple lockstep processes running:\n")
	require.ErrorContains(t, err, fmt.Sprintf("\n%d", pid))
	_, err = resolve("abc")
	require.EqualError(t, err, "invalid pid: abc")
	_, err = resolve("0*")
	require.EqualError(t, err, "no lockstep processes running")
}
