package describe

import (
	"errors"
	"strconv"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// snapshotSet is what is known of the volumes that file system backup did not
// take.
type snapshotSet struct {
	native []layout.VolumeInfo
	csi    []layout.VolumeInfo
	noCSI  string // in place of an empty list
	err    error  // why nothing is known
}

// snapshotsOf sorts the volumes of a backup. Where the list of volumes is missing,
// a Velero before 1.13 may have made the backup.
func snapshotsOf(s *velerov1.BackupStatus, f BackupFiles) snapshotSet {
	set := snapshotSet{noCSI: noneIncluded}
	switch {
	case errors.Is(f.Volumes.Err, ErrNoFile):
		set.noCSI = "<none included or not detectable>"
		if s.VolumeSnapshotsAttempted > 0 {
			set.native, set.err = legacySnapshots(f.Snapshots)
		}
		return set
	case f.Volumes.Err != nil:
		set.err = f.Volumes.Err
		return set
	}
	for _, v := range f.Volumes.Content {
		switch {
		case v.BackupMethod == layout.BackupMethodNativeSnapshot && v.NativeSnapshotInfo != nil:
			set.native = append(set.native, v)
		case v.BackupMethod == layout.BackupMethodCSISnapshot:
			set.csi = append(set.csi, v)
		}
	}
	return set
}

func legacySnapshots(f File[[]layout.NativeSnapshot]) ([]layout.VolumeInfo, error) {
	if f.Err != nil {
		return nil, f.Err
	}
	var list []layout.VolumeInfo
	for _, s := range f.Content {
		info := &layout.NativeSnapshotInfo{
			SnapshotHandle: s.Status.ProviderSnapshotID, VolumeType: s.Spec.VolumeType, VolumeAZ: s.Spec.VolumeAZ, Phase: s.Status.Phase,
		}
		if s.Spec.VolumeIOPS != nil {
			info.IOPS = strconv.FormatInt(*s.Spec.VolumeIOPS, 10)
		}
		list = append(list, layout.VolumeInfo{PVName: s.Spec.PersistentVolumeName, NativeSnapshotInfo: info})
	}
	return list, nil
}

const (
	askDetails      = "specify --details for more information"
	includedDetails = "included, " + askDetails
)

// snapshots lists what Velero's own parts have taken; podkeep takes none. An error
// stands in its place and does not hide what else is known.
func (p *page) snapshots(s *velerov1.BackupStatus, f BackupFiles) {
	set := snapshotsOf(s, f)
	if set.err != nil {
		p.line("\t<error getting backup volume info: %s>", OneLine(set.err.Error()))
		return
	}
	if len(set.native) == 0 {
		p.line("\tVelero-Native Snapshots: %s", noneIncluded)
	} else {
		p.line("\tVelero-Native Snapshots:")
		for _, v := range set.native {
			p.nativeSnapshot(v)
		}
	}
	p.gap()
	if len(set.csi) == 0 {
		p.line("\tCSI Snapshots: %s", set.noCSI)
		return
	}
	p.line("\tCSI Snapshots:")
	for _, v := range set.csi {
		p.line("\t\t%s/%s:", OneLine(v.PVCNamespace), OneLine(v.PVCName))
		p.localSnapshot(v)
		p.dataMovement(v)
	}
}

func (p *page) nativeSnapshot(v layout.VolumeInfo) {
	if !p.look.Details {
		p.line("\t\t%s: %s", OneLine(v.PVName), askDetails)
		return
	}
	s := v.NativeSnapshotInfo
	p.line("\t\t%s:", OneLine(v.PVName))
	p.line("\t\t\tSnapshot ID:\t%s", OneLine(s.SnapshotHandle))
	p.line("\t\t\tType:\t%s", OneLine(s.VolumeType))
	p.line("\t\t\tAvailability Zone:\t%s", OneLine(s.VolumeAZ))
	p.line("\t\t\tIOPS:\t%s", OneLine(s.IOPS))
	p.line("\t\t\tResult:\t%s", OneLine(v.Result))
}

func (p *page) localSnapshot(v layout.VolumeInfo) {
	s := v.CSISnapshotInfo
	switch {
	case !v.PreserveLocalSnapshot || s == nil:
		return
	case !p.look.Details:
		p.line("\t\t\tSnapshot: %s", includedDetails)
		return
	}
	p.line("\t\t\tSnapshot:")
	if !v.SnapshotDataMoved && s.OperationID != "" {
		p.line("\t\t\t\tOperation ID: %s", OneLine(s.OperationID))
	}
	p.line("\t\t\t\tSnapshot Content Name: %s", OneLine(s.VSCName))
	p.line("\t\t\t\tStorage Snapshot ID: %s", OneLine(s.SnapshotHandle))
	p.line("\t\t\t\tSnapshot Size (bytes): %d", s.SizeBytes)
	p.line("\t\t\t\tCSI Driver: %s", OneLine(s.Driver))
	p.line("\t\t\t\tResult: %s", OneLine(v.Result))
}

func (p *page) dataMovement(v layout.VolumeInfo) {
	m := v.SnapshotDataMovementInfo
	switch {
	case !v.SnapshotDataMoved || m == nil:
		return
	case !p.look.Details:
		p.line("\t\t\tData Movement: %s", includedDetails)
		return
	}
	p.line("\t\t\tData Movement:")
	p.line("\t\t\t\tOperation ID: %s", OneLine(m.OperationID))
	p.line("\t\t\t\tData Mover: %s", moverOf(m))
	p.line("\t\t\t\tUploader Type: %s", OneLine(m.UploaderType))
	p.line("\t\t\t\tMoved data Size (bytes): %d", m.SizeBytes)
	if m.IncrementalBytes > 0 {
		p.line("\t\t\t\tIncremental data Size (bytes): %d", m.IncrementalBytes)
	}
	p.line("\t\t\t\tResult: %s", OneLine(v.Result))
}

func moverOf(m *layout.SnapshotDataMovementInfo) string {
	if m.DataMover == "" {
		return "velero"
	}
	return OneLine(m.DataMover)
}

// restoredSnapshots lists the claims that Velero has restored from snapshots. A
// list that is missing is that of an older Velero, or of a restore that goes on.
func (p *page) restoredSnapshots(f File[layout.RestoreVolumeInfoList]) {
	switch {
	case errors.Is(f.Err, ErrNoFile):
		return
	case f.Err != nil:
		p.line("\t<error getting restore volume info: %s>", OneLine(f.Err.Error()))
		return
	}
	p.gap()
	var local, moved []layout.RestoredVolumeInfo
	for _, v := range f.Content {
		switch {
		case v.RestoreMethod != layout.RestoreMethodCSISnapshot:
		case v.SnapshotDataMoved:
			moved = append(moved, v)
		default:
			local = append(local, v)
		}
	}
	if len(local)+len(moved) == 0 {
		p.line("CSI Snapshot Restores: %s", noneIncluded)
		return
	}
	p.line("CSI Snapshot Restores:")
	for _, v := range append(local, moved...) {
		p.restoredSnapshot(v)
	}
}

func (p *page) restoredSnapshot(v layout.RestoredVolumeInfo) {
	p.line("\t%s/%s:", OneLine(v.PVCNamespace), OneLine(v.PVCName))
	what := "Snapshot"
	if v.SnapshotDataMoved {
		what = "Data Movement"
	}
	if !p.look.Details {
		p.line("\t\t%s: %s", what, askDetails)
		return
	}
	p.line("\t\t%s:", what)
	if m := v.SnapshotDataMovementInfo; v.SnapshotDataMoved && m != nil {
		p.line("\t\t\tOperation ID: %s", OneLine(m.OperationID))
		p.line("\t\t\tData Mover: %s", OneLine(m.DataMover))
		p.line("\t\t\tUploader Type: %s", OneLine(m.UploaderType))
	}
	if s := v.CSISnapshotInfo; !v.SnapshotDataMoved && s != nil {
		p.line("\t\t\tSnapshot Content Name: %s", OneLine(s.VSCName))
		p.line("\t\t\tStorage Snapshot ID: %s", OneLine(s.SnapshotHandle))
		p.line("\t\t\tCSI Driver: %s", OneLine(s.Driver))
	}
}
