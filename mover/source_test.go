package mover_test

import (
	"testing"

	"github.com/podkeep/podkeep/mover"
	"github.com/podkeep/podkeep/mover/movertest"
)

func TestDirectorySource(t *testing.T) {
	t.Parallel()
	movertest.SourceContract(t, mover.OpenDirectory)
}
