//! Bytes on the platter that change by themselves, or are written where they do not belong. What was right is
//! kept: the disk's mirror has it.

use std::collections::BTreeSet;

use super::{Change, File, Inode, Media, SECTOR, below, real_read, real_write};
use crate::Chance;
use crate::disk::Astray;

impl File {
    /// Whether what stands in it is what is on the disk.
    fn is_settled(&self) -> bool {
        !self.spoilt && self.pending.is_empty()
    }

    /// A change has come to the disk: damage that it went over is gone, unless it wrote again what was read.
    pub(super) fn outgrow(&mut self, change: &Change) {
        match change {
            Change::Len(len) => drop(self.hurts.split_off(len)),
            Change::Write { at, bytes } => {
                let over = || self.hurts.range(*at..*at + bytes.len());
                let again = over().all(|(place, (_, is))| bytes.get(place - at) == Some(is));
                if !again {
                    let gone: Vec<usize> = over().map(|(place, _)| *place).collect();
                    for place in gone {
                        self.hurts.remove(&place);
                    }
                }
            }
        }
    }

    /// Other bytes stand at `at` from now on, as far as the file goes.
    fn hurt(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in (at..self.durable.len()).zip(bytes) {
            let was = self.hurts.get(&place).map_or(self.durable[place], |(was, _)| *was);
            self.hurts.remove(&place);
            if was != *byte {
                self.hurts.insert(place, (was, *byte));
            }
            self.durable[place] = *byte;
        }
        let end = self.durable.len().min(at + bytes.len());
        if at < end {
            real_write(&self.path, at, &self.durable[at..end]);
        }
    }

    /// The sector as the disk has it.
    fn sector(&self, number: usize) -> Vec<u8> {
        let from = self.durable.len().min(number * SECTOR);
        let to = self.durable.len().min(from + SECTOR);
        let mut sector = self.durable[from..to].to_vec();
        sector.resize(SECTOR, 0);
        sector
    }

    /// The sectors that are about to be written.
    fn touched(&self) -> BTreeSet<usize> {
        let mut touched = BTreeSet::new();
        for change in &self.pending {
            if let Change::Write { at, bytes } = change
                && !bytes.is_empty()
            {
                touched.extend(at / SECTOR..=(at + bytes.len() - 1) / SECTOR);
            }
        }
        touched
    }
}

impl Media {
    /// Files below `directory` in the order of their names: numbers of files differ from run to run.
    fn settled(&self, directory: &[u8]) -> Vec<Inode> {
        let mut found: Vec<(&[u8], Inode)> = self
            .files
            .iter()
            .filter(|(_, file)| below(&file.path, directory))
            .filter(|(_, file)| file.is_settled() && !file.durable.is_empty())
            .map(|(inode, file)| (file.path.as_slice(), *inode))
            .collect();
        found.sort();
        found.into_iter().map(|(_, inode)| inode).collect()
    }

    pub(in crate::disk) fn contents(&self, path: &[u8]) -> Option<&[u8]> {
        let file = self.files.values().find(|file| file.path == path)?;
        file.is_settled().then_some(file.durable.as_slice())
    }

    pub(in crate::disk) fn strike(&mut self, path: &[u8], at: usize, bytes: &[u8]) -> bool {
        let file = self.files.values_mut().find(|file| file.path == path);
        let Some(file) = file.filter(|file| file.is_settled()) else { return false };
        let is_there = at + bytes.len() <= file.durable.len();
        if is_there {
            file.hurt(at, bytes);
        }
        is_there
    }

    /// Puts back what was there before it was damaged. How many bytes.
    pub(in crate::disk) fn mend(&mut self, directory: &[u8]) -> u64 {
        let mut mended = 0;
        for file in self.files.values_mut().filter(|file| below(&file.path, directory)) {
            for (place, (was, is)) in std::mem::take(&mut file.hurts) {
                for change in &mut file.pending {
                    if let Change::Write { at, bytes } = change
                        && let Some(byte) = place.checked_sub(*at).and_then(|at| bytes.get_mut(at))
                        && *byte == is
                    {
                        *byte = was;
                    }
                }
                if real_read(&file.path, place) == Some(is) {
                    real_write(&file.path, place, &[was]);
                }
                if let Some(byte) = file.durable.get_mut(place) {
                    *byte = was;
                    mended += 1;
                }
            }
        }
        mended
    }

    /// Shows readers what was there before the damage. Gives what they saw: where, and which byte.
    pub(in crate::disk) fn unveil(&self, directory: &[u8]) -> Vec<(Inode, usize, u8)> {
        let mut veil = Vec::new();
        for (inode, file) in self.files.iter().filter(|(_, file)| below(&file.path, directory)) {
            for (place, (was, is)) in &file.hurts {
                if real_read(&file.path, *place) == Some(*is) {
                    real_write(&file.path, *place, &[*was]);
                    veil.push((*inode, *place, *is));
                }
            }
        }
        veil
    }

    /// Shows them the damage again.
    pub(in crate::disk) fn veil(&self, veil: &[(Inode, usize, u8)]) {
        for (inode, place, is) in veil {
            if let Some(path) = self.path(*inode) {
                real_write(path, *place, &[*is]);
            }
        }
    }

    /// A file is synced, and one of the sectors that are written for it goes to another place of the disk that
    /// `directory` is on. Where from and where to; nothing where no such sector is.
    pub(in crate::disk) fn synced_astray(
        &mut self,
        inode: Inode,
        way: Astray,
        directory: &[u8],
        chance: &mut Chance,
    ) -> Option<String> {
        let file = self.files.get(&inode).filter(|file| !file.spoilt)?;
        let before = file.durable.len();
        let touched: Vec<usize> = match way {
            Astray::Also => file.touched().into_iter().collect(),
            // What stood there before is neither the beginning of this file nor its end.
            Astray::Instead => {
                let touched = file.touched().into_iter();
                touched.filter(|it| (it + 1) * SECTOR <= before || it * SECTOR >= before).collect()
            }
        };
        let at = *pick(&touched, chance)?;
        let had = file.sector(at);
        self.synced(inode);
        let file = self.files.get(&inode)?;
        let (sector, from) = (file.sector(at), file.path.clone());
        let mut places = Vec::new();
        for other in self.settled(directory) {
            let sectors = self.files.get(&other).map_or(0, |it| it.durable.len().div_ceil(SECTOR));
            places.extend((0..sectors).map(|it| (other, it)).filter(|it| *it != (inode, at)));
        }
        let (other, to) = *pick(&places, chance)?;
        let victim = self.files.get_mut(&other)?;
        let stale = victim.sector(to);
        victim.hurt(to * SECTOR, &sector);
        let told = format!(
            "{} sector {at} to {} sector {to}",
            String::from_utf8_lossy(&from),
            String::from_utf8_lossy(&victim.path)
        );
        let file = self.files.get_mut(&inode)?;
        match way {
            Astray::Also => {}
            // A place that no file had yet has what some file had once.
            Astray::Instead if at * SECTOR >= before => {
                let len = stale.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let stale: Vec<u8> = stale[..len].iter().copied().cycle().take(SECTOR).collect();
                file.hurt(at * SECTOR, &stale);
            }
            Astray::Instead => file.hurt(at * SECTOR, &had),
        }
        Some(told)
    }
}

fn pick<'a, T>(among: &'a [T], chance: &mut Chance) -> Option<&'a T> {
    among.get(usize::try_from(chance.below(among.len() as u64)).ok()?)
}
