package main

import (
	"errors"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/podkeep/podkeep/controllers/deletion"
	"github.com/podkeep/podkeep/controllers/expiration"
	"github.com/podkeep/podkeep/controllers/schedule"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/mover/repository"
)

// addLifecycleControllers adds what makes backups and removes them by the clock.
func addLifecycleControllers(mgr ctrl.Manager, flags serverFlags, access *locationaccess.Resolver) error {
	c, reader, clk, ns := mgr.GetClient(), mgr.GetAPIReader(), clock.RealClock{}, flags.namespace
	recorder := mgr.GetEventRecorder("podkeep")
	return errors.Join(
		(&schedule.Reconciler{
			Client: c, Reader: reader, Clock: clk, Recorder: recorder, Namespace: ns, SkipImmediately: flags.skipImmediately,
		}).SetupWithManager(mgr),
		(&deletion.Reconciler{
			Client: c, Reader: reader, Locations: access, Clock: clk, Recorder: recorder, Namespace: ns,
			ScratchDir: flags.scratchDir, RetryTimeout: flags.storageTimeout,
			Repositories: deletion.Repositories{
				DeleteSnapshots: repository.DeleteSnapshots, Reason: repository.Reason, IsTerminal: repository.IsTerminal,
			},
		}).SetupWithManager(mgr),
		(&expiration.Reconciler{
			Client: c, Clock: clk, Recorder: recorder, Namespace: ns, Frequency: flags.gcFrequency,
		}).SetupWithManager(mgr),
	)
}
