package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/controllers/download"
	"github.com/podkeep/podkeep/controllers/serverstatus"
	"github.com/podkeep/podkeep/controllers/sync"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/version"
)

// bucketFlags are the server's flags for what is in locations and how people get
// at it.
type bucketFlags struct {
	syncPeriod      time.Duration
	downloadAddress string
	downloadURL     string
}

func (f *bucketFlags) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.DurationVar(&f.syncPeriod, "backup-sync-period", sync.DefaultPeriod,
		"how often locations that do not say it are looked through for backups of other clusters; 0 is never")
	fs.StringVar(&f.downloadAddress, "download-address", fmt.Sprintf(":%d", install.DownloadPort), "address at which files of filesystem locations are served")
	fs.StringVar(&f.downloadURL, "download-url", fmt.Sprintf("http://localhost:%d", install.DownloadPort),
		"how people reach that address, for locations without publicUrl; the default is for kubectl port-forward")
}

func (f *bucketFlags) check() error {
	if f.syncPeriod < 0 {
		return fmt.Errorf("--backup-sync-period: Invalid value: %s: must not be negative", f.syncPeriod)
	}
	u, err := url.Parse(f.downloadURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("--download-url: Invalid value: %q: must be http(s)://host[:port] without a path", f.downloadURL)
	}
	return nil
}

// addBucketControllers adds what shows people the content of locations.
func addBucketControllers(mgr ctrl.Manager, flags serverFlags, access *locationaccess.Resolver) error {
	if err := flags.bucketFlags.check(); err != nil {
		return err
	}
	c, clk, ns := mgr.GetClient(), clock.RealClock{}, flags.namespace
	files := &download.FileServer{Reader: mgr.GetAPIReader(), Locations: access, Clock: clk, Namespace: ns}
	return errors.Join(
		flags.setUp(mgr, controllerSync, (&sync.Reconciler{
			Client: c, Reader: mgr.GetAPIReader(), Access: access, Clock: clk, Recorder: mgr.GetEventRecorder("podkeep"), Namespace: ns,
			Period: &flags.syncPeriod,
		}).SetupWithManager),
		flags.setUp(mgr, controllerDownload, (&download.Reconciler{
			Client: c, Reader: mgr.GetAPIReader(), Locations: access, Clock: clk, Namespace: ns,
			BaseURL: strings.TrimSuffix(flags.downloadURL, "/"), Token: rand.Text,
		}).SetupWithManager),
		flags.setUp(mgr, controllerServerStatus, (&serverstatus.Reconciler{Client: c, Clock: clk, Namespace: ns, Version: version.Version}).SetupWithManager),
		mgr.Add(&manager.Server{Name: "downloads", Server: files.Server(flags.downloadAddress), ShutdownTimeout: ptrTo(shutdownTimeout)}),
	)
}
